"""Annotation files in the dialects that tools write: the masks they mean, or a sentence."""

import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segcli.annotations.coco import parse_coco
from segcli.annotations.losses import Losses
from segcli.annotations.pairing import pair_images
from segcli.annotations.paths import portable
from segcli.annotations.yolo import data_yaml, read_names
from segcli.errors import UsageError
from segcli.evaluate import score_records
from segcli.export.import_annotations import Imported, import_annotations
from segcli.store import read_images, read_masks
from segcli.train.data import image_path

SQUARE = [10.0, 8.0, 50.0, 8.0, 50.0, 48.0, 10.0, 48.0]  # 1,600 px
LINE = "0.1 0.1 0.5 0.1 0.5 0.6 0.1 0.6"  # the same in an image of 100 x 80 px


def coco(**change: Any) -> dict[str, Any]:
    item = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [SQUARE], "iscrowd": 0}
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 80, "width": 100}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [item | {"bbox": [10, 8, 40, 40], "area": 1600} | change],
    }


def bring_in(tmp_path: Path, document: Any, **more: Any) -> tuple[Imported, list[Any], list[str]]:
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "ann.json"
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return imported("coco", path, tmp_path, **more)


def imported(
    kind: str | None, path: Path, tmp_path: Path, **more: Any
) -> tuple[Imported, list[Any], list[str]]:
    out = tmp_path / "out.parquet"
    done = import_annotations(kind, path, out, **more)
    rows = [row for batch in read_masks(out) for row in batch.to_pylist()]
    keys = [row["key"] for batch in read_images(out) for row in batch.to_pylist()]
    return done, [(row["category"], row["area"]) for row in rows], keys


@pytest.mark.parametrize(
    "change",
    [
        {"image_id": 1.0},
        {"image_id": "1"},
        {"category_id": "1"},
        {"iscrowd": None},
        {"iscrowd": 0.0},
        {"iscrowd": "0"},
        {"area": None},
        {"bbox": None},
        {"bbox": [1, math.nan, 2, 2]},
        {"area": "1600.0"},
        {"bbox": ["10", "8", "40", "4e1"]},
        {"segmentation": [SQUARE, [1, 1, 2, 2]]},
        {"segmentation": SQUARE},
        {"segmentation": [[str(side) for side in SQUARE]]},
        {"segmentation": [[x, y] for x, y in zip(SQUARE[::2], SQUARE[1::2], strict=True)]},
        {"segmentation": [[[x, y] for x, y in zip(SQUARE[::2], SQUARE[1::2], strict=True)]]},
        {"segmentation": {"size": ["80", "100"], "counts": [8000 - 1600, 1600]}},
        {"segmentation": {"size": [80, 100], "counts": "b'PX6Pb1'"}},
        {"iscrowd": "False"},
        {"score": "1.0"},
        {"segmentation": {"size": [80, 100], "counts": ["6400", "1600"]}},
        {"segmentation": {"size": [80.0, 100.0], "counts": [8000 - 1600.0, 1600.0]}},
    ],
)
def test_what_means_the_same_scores_and_imports_the_same(tmp_path: Path, change: Any) -> None:
    document = coco(**change)
    result = {"image_id": 1, "category_id": 1, "score": 0.9}
    result["segmentation"] = document["annotations"][0]["segmentation"]
    assert score_records([result], document).metrics["AP"] == pytest.approx(1)
    assert bring_in(tmp_path, document)[1] == [("person", 1600)]


def test_images_listed_again_and_annotations_of_others_are_counted(tmp_path: Path) -> None:
    document = coco()
    document["images"] *= 2
    document["annotations"] += [
        {**document["annotations"][0], "image_id": 9},
        {**document["annotations"][0], "category_id": 9},
        {**document["annotations"][0], "iscrowd": 1},
    ]
    done, rows, _ = bring_in(tmp_path, document)
    assert rows == [("person", 1600)]
    assert [note.split()[0] for note in done.notes] == ["1", "1", "1", "1"]
    document["images"][1] = {**document["images"][1], "width": 9}
    with pytest.raises(UsageError, match="image 1: the id 1 comes twice"):
        parse_coco(document, "ann.json")


def test_masks_of_cvat_are_all_crowds(tmp_path: Path) -> None:
    done, rows, _ = bring_in(tmp_path, coco(iscrowd=1))
    assert not rows
    assert done.notes[0].startswith(
        "all objects (1) are marked as crowds (iscrowd 1), as CVAT marks"
    )


def test_outlines_that_leave_their_image_are_counted(tmp_path: Path) -> None:
    for outline, count in (([[10, 8, 100.9, 8, 100.9, 48]], 0), ([[10, 8, 130, 8, 130, 48]], 1)):
        done = bring_in(tmp_path / str(count), coco(segmentation=outline))[0]
        assert len(done.notes) == count


def test_a_size_that_is_missing_is_the_pictures(tmp_path: Path) -> None:
    document = coco()
    del document["images"][0]["height"]
    with pytest.raises(UsageError, match="the size of 'a.jpg'; give their folder as `images`"):
        bring_in(tmp_path, document)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (100, 80)).save(tmp_path / "pictures/a.jpg")
    assert bring_in(tmp_path, document, images=tmp_path / "pictures")[1] == [("person", 1600)]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a b.jpg", "a b.jpg"),
        ("cam1\\a b.jpg", "cam1/a b.jpg"),
        ("/data/local-files/?d=cam1/a%20b.jpg", "cam1/a b.jpg"),
        ("https://example.org/cam1/a%20b.jpg?x=1", "cam1/a b.jpg"),
        ("cam1/a%20b.jpg", "cam1/a b.jpg"),
        ("C:\\data\\cam1\\a b.jpg", "cam1/a b.jpg"),
        ("/home/me/images/cam1/a b.jpg", "cam1/a b.jpg"),
    ],
)
def test_names_of_pictures_are_found_in_their_folder(tmp_path: Path, name: str, key: str) -> None:
    for path in ("a b.jpg", "cam1/a b.jpg"):
        (tmp_path / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / path).touch()
    document = coco()
    document["images"][0]["file_name"] = name
    assert bring_in(tmp_path, document, images=tmp_path / "images")[2] == [key]
    assert pair_images([name], ["cam1/a b.jpg", "a b.jpg"]).row.tolist() == [int(key == "a b.jpg")]
    assert image_path(tmp_path / "images", name, tmp_path) == tmp_path / "images" / key


def test_ids_may_be_texts(tmp_path: Path) -> None:
    document = coco(image_id="img_1", category_id="p")
    document["images"][0] |= {"id": "img_1", "height": 80.0, "width": "100"}
    document["categories"][0]["id"] = "p"
    found = {"image_id": "img_1", "category_id": "p", "score": 1, "segmentation": [SQUARE]}
    assert score_records([found], document).metrics["AP"] == pytest.approx(1)
    done, rows, _ = bring_in(tmp_path, document)
    assert rows == [("person", 1600)]
    assert "1 category got new ids" in done.notes[0]


def test_ids_of_several_lines_are_named_in_one() -> None:
    document = coco()
    document["annotations"][0]["image_id"] = "a\nb"
    with pytest.raises(UsageError, match=r"image 'a\\nb', which the ground truth lacks"):
        score_records([], document)


def test_strict_refuses_what_changes_no_number() -> None:
    for change in ({"bbox": [1, 1, -2, 2]}, {"segmentation": [SQUARE, [1, 1, 2, 2]]}):
        assert len(parse_coco(coco(**change), "ann.json").notes) == 1
        with pytest.raises(UsageError, match="annotation 1: "):
            parse_coco(coco(**change), "ann.json", strict=True)


def test_boxes_need_no_sizes() -> None:
    document = coco()
    del document["images"][0]["height"], document["images"][0]["width"]
    found = {"image_id": 1, "category_id": 1, "score": 1, "bbox": [10, 8, 40, 40]}
    assert score_records([found], document, iou="bbox").metrics["AP"] == pytest.approx(1)


@pytest.mark.parametrize("empty", [None, [], [[]], {}])
def test_an_object_without_a_mask_is_counted(tmp_path: Path, empty: Any) -> None:
    done, rows, keys = bring_in(tmp_path, coco(segmentation=empty))
    assert (rows, keys) == ([], ["a.jpg"])
    assert done.notes == ("1 annotation without a mask was left out",)


def test_a_mask_without_a_pixel_is_counted(tmp_path: Path) -> None:
    done, rows, _ = bring_in(tmp_path, coco(segmentation=[[1, 1, 5, 5, 1, 1]]))
    assert (rows, done.notes) == ([], ("1 mask without a pixel was left out",))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    assert bring_in(tmp_path, json.dumps(coco()).encode(encoding))[1] == [("person", 1600)]


def test_one_picture_under_two_ids(tmp_path: Path) -> None:
    document = coco()
    document["images"].append(document["images"][0] | {"id": 2, "file_name": ".\\a.jpg"})
    document["annotations"].append(document["annotations"][0] | {"id": 2, "image_id": 2})
    done, rows, keys = bring_in(tmp_path, document)
    assert (rows, keys) == ([("person", 1600)] * 2, ["a.jpg"])
    assert "1 image occurs more than once" in done.notes[0]


def test_two_categories_of_one_name(tmp_path: Path) -> None:
    document = coco()
    document["categories"].append({"id": 7, "name": "person"})
    with pytest.raises(UsageError, match=r"'person' \(ids 1, 7\); give `merge_categories=True`"):
        bring_in(tmp_path, document)
    done, rows, _ = bring_in(tmp_path, document, merge_categories=True)
    assert rows == [("person", 1600)]
    assert "1 category was merged" in done.notes[0]


@pytest.mark.parametrize(
    ("given", "folder", "path"),
    [
        ("images\\val\\a.jpg", "", "images/val/a.jpg"),
        ("images/val\\a.jpg", "", "images/val/a.jpg"),
        ("..\\images\\a.jpg", "ann", "images/a.jpg"),
        ("..\\..\\upload\\a.jpg", "", "upload/a.jpg"),
        ("./a.jpg", ".", "a.jpg"),
        ("C:\\data\\a.jpg", "", "C:/data/a.jpg"),
    ],
)
def test_paths_of_windows(given: str, folder: str, path: str) -> None:
    assert portable(given, folder) == path


def test_windows_paths_are_paired_by_path() -> None:
    wanted, there = ["a\\x.jpg", "b\\x.jpg"], ["b/x.jpg", "a/x.jpg"]
    assert pair_images(wanted, there).row.tolist() == [1, 0]


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=4, unique=True))
@settings(deadline=None, max_examples=60)
def test_names_of_yolo_come_back_exactly(tmp_path_factory: Any, names: list[str]) -> None:
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        return
    folder = tmp_path_factory.mktemp("yolo")
    content = data_yaml({"names": dict(enumerate(names))})
    (folder / "data.yaml").write_bytes(content.encode())
    assert list(read_names(folder).values()) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: {0: person, 1: car}", {0: "person", 1: "car"}),
        ("names: ['a, b',\n   'c']  # two", {0: "a, b", 1: "c"}),
        ("names:\n  2: \"x: y\"\n  0: 'driver''s'\n", {0: "driver's", 2: "x: y"}),
        ("\ufeffnames: [a]", {0: "a"}),
    ],
)
def test_data_yaml_is_read_as_yaml(tmp_path: Path, text: str, names: dict[int, str]) -> None:
    (tmp_path / "data.yaml").write_text(text)
    assert read_names(tmp_path) == names


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("names: {99999999999: a}", "must be from 0 to"),
        ("names: {x: a}", "must have numbers"),
        ("names: [a, a]", "must differ"),
        ("names: a, b", 'has no "names:"'),
        ("names:\n\t- a", "is not valid YAML"),
        ("names: !!python/object/apply:os.getcwd []", "is not valid YAML"),
        ("nc: 2", 'has no "names:"'),
    ],
)
def test_names_that_are_none_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(UsageError, match=reason):
        read_names(tmp_path)


def yolo(folder: Path, labels: dict[str, str], images: list[str]) -> None:
    (folder / "data.yaml").write_text("names: [person, car]")
    for name, text in labels.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name in images:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100, 80)).save(folder / name)


def test_background_images_of_yolo(tmp_path: Path) -> None:
    labels = {"labels/a.txt": f"0.0 {LINE}\n", "labels/b.txt": "", "labels/classes.txt": "x\n"}
    yolo(tmp_path, labels, ["images/a.png", "images/b.png", "images/c.png"])
    _, rows, keys = imported(None, tmp_path, tmp_path)
    assert (rows, keys) == ([("person", 1600)], ["a.png", "b.png", "c.png"])


def test_train_labels_next_to_train_images(tmp_path: Path) -> None:
    yolo(tmp_path, {"train/labels/a.txt": f"1 {LINE}\n"}, ["train/images/a.png"])
    _, rows, keys = imported(None, tmp_path, tmp_path)
    assert (rows, keys) == ([("car", 1600)], ["train/images/a.png"])


def test_two_pictures_of_one_label(tmp_path: Path) -> None:
    yolo(tmp_path, {"labels/a.txt": f"1 {LINE}\n"}, ["images/a.png", "images/a.bmp"])
    done, rows, _ = imported(None, tmp_path, tmp_path)
    assert rows == [("car", 1600)] * 2
    assert "2 images share their label file" in done.notes[0]


def test_lines_of_yolo_that_are_no_outlines_are_counted(tmp_path: Path) -> None:
    labels = {"labels/a.txt": f"0 0.5 0.5 0.2 0.2\n1 {LINE.replace('.', ',')}\n0 0.5 0.5 1 1 0.9\n"}
    yolo(tmp_path, {**labels, "labels/z{}.txt": f"0 {LINE}"}, ["images/a.png"])
    done, rows, _ = imported("yolo", tmp_path, tmp_path)
    assert rows == [("car", 1600)]
    assert done.notes == (
        "1 label without an image was left out, such as 'labels/z{}.txt'",
        "2 labels of only a box or a line were left out: neither is an outline",
        "1 line has decimal commas",
    )


def test_labels_of_other_tasks_are_refused(tmp_path: Path) -> None:
    yolo(tmp_path, {"labels/a.txt": "0 0.5 0.5 0.2 0.2\n"}, ["images/a.png"])
    with pytest.raises(UsageError, match="1 box, no outline: these are labels for detection"):
        imported("yolo", tmp_path, tmp_path)
    (tmp_path / "data.yaml").write_text("names: [person]\nkpt_shape: [17, 3]")
    with pytest.raises(UsageError, match="these are labels of poses"):
        imported("yolo", tmp_path, tmp_path)


def labelme(tmp_path: Path, shapes: list[dict[str, Any]], path: str = "a.jpg") -> Path:
    folder = tmp_path / "lm"
    (folder / "json").mkdir(parents=True, exist_ok=True)
    document = {"shapes": shapes, "imagePath": path, "imageHeight": 80, "imageWidth": 100}
    (folder / "json/a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(document).encode())
    return folder


def shape(kind: str | None, points: Any, **more: Any) -> dict[str, Any]:
    return {"label": "person", "points": points, "shape_type": kind, "group_id": None} | more


def block(x: int, y: int, side: int) -> list[list[int]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


@pytest.mark.parametrize(
    ("shapes", "areas"),
    [
        ([shape("circle", [[50, 40], [60, 40]])], [349]),
        ([shape("rectangle", [[50, 8], [10, 48]])], [1600]),
        ([shape("rectangle", block(10, 10, 20))], [400]),
        ([shape("oriented_rectangle", block(10, 10, 20))], [400]),
        ([shape(None, block(10, 10, 20))], [400]),
        (
            [
                shape("polygon", block(10, 10, 20), group_id=1),
                shape("polygon", block(60, 10, 20), group_id=1),
                shape("polygon", block(10, 50, 10), group_id=2),
            ],
            [800, 100],
        ),
        ([shape("point", [[1, 1]]), shape("polygon", block(10, 10, 20))], [400]),
    ],
)
def test_shapes_of_labelme(tmp_path: Path, shapes: Any, areas: list[int]) -> None:
    done, rows, keys = imported("labelme", labelme(tmp_path, shapes), tmp_path)
    assert [area for _, area in rows] == areas
    assert keys == ["json/a.jpg"]
    points = sum(s["shape_type"] == "point" for s in shapes)
    flat = ["1 shape without an area, points or lines, was left out"] * points
    assert [*done.notes] == flat


def test_the_picture_is_where_its_path_leads(tmp_path: Path) -> None:
    folder = labelme(tmp_path, [shape("polygon", block(0, 0, 9))], "..\\images\\a.jpg")
    (folder / "json/b.json").write_bytes((folder / "json/a.json").read_bytes())
    done, rows, keys = imported("labelme", folder, tmp_path)
    assert (len(rows), keys) == (2, ["images/a.jpg"])
    assert "1 image occurs more than once" in done.notes[0]


def test_shapes_without_area_or_label_and_other_files_are_counted(tmp_path: Path) -> None:
    shapes = [
        shape("polygon", block(0, 0, 10)),
        shape("polygon", [[1, 1], [5, 5]]),
        shape("polygon", block(0, 0, 10), label=None),
        shape("polygon", block(90, 0, 20)),
    ]
    folder = labelme(tmp_path, shapes)
    (folder / "coco.json").write_text('{"images": []}')
    done, rows, _ = imported("labelme", folder, tmp_path)
    assert [area for _, area in rows] == [100, 200]
    assert sorted(note.split(" ")[1] for note in done.notes) == [
        "JSON", "outline", "polygon", "shape",
    ]  # fmt: skip


def test_the_picture_gives_the_size_and_the_name(tmp_path: Path) -> None:
    folder = labelme(tmp_path, [shape("polygon", block(0, 0, 10))])
    document = {"shapes": [], "imagePath": None, "imageHeight": None, "fillColor": [1, 2, 3, 4]}
    (folder / "json/a.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match='"imageHeight" or "imageWidth" is missing'):
        imported("labelme", folder, tmp_path)
    Image.new("RGB", (100, 80)).save(folder / "json/a.png")
    assert imported("labelme", folder, tmp_path)[2] == ["json/a.png"]


@pytest.mark.parametrize("side", [2**70, 1e308, 10**9, 40_000])
def test_sizes_that_no_image_has_are_refused(tmp_path: Path, side: float) -> None:
    folder = labelme(tmp_path, [shape("circle", [[50, 40], [60, 40]])])
    document = json.loads((folder / "json/a.json").read_bytes())
    size = {"imageWidth": side, "imageHeight": side}
    (folder / "json/a.json").write_text(json.dumps(document | size))
    with pytest.raises(UsageError, match=r"a\.json: a"):
        imported("labelme", folder, tmp_path)
    document = coco()
    document["images"][0] |= {"height": side, "width": side}
    if side == 40_000:
        assert bring_in(tmp_path, document)[1] == [("person", 1600)]
        return
    with pytest.raises(UsageError, match="image 1"):
        bring_in(tmp_path, document)


@pytest.mark.parametrize(
    "points", [[10, 8, 50, 8, 50, 48], [[1, 2, 3]] * 3, [{"x": 1}], [["a", 1]]]
)
def test_points_that_are_none_are_named(tmp_path: Path, points: Any) -> None:
    with pytest.raises(UsageError, match=r"a shape of 'person': its points are not pairs"):
        imported("labelme", labelme(tmp_path, [shape("polygon", points)]), tmp_path)


def test_a_label_may_be_a_number(tmp_path: Path) -> None:
    folder = labelme(tmp_path, [shape("polygon", block(0, 0, 10), label=0)])
    assert imported("labelme", folder, tmp_path)[1] == [("0", 100)]


def test_a_null_mask_is_named(tmp_path: Path) -> None:
    folder = labelme(tmp_path, [shape("mask", [[1, 1], [2, 2]], mask=None)])
    with pytest.raises(UsageError, match=r"a\.json: a shape of 'person': its mask or its box is"):
        imported("labelme", folder, tmp_path)


@given(st.text())
def test_any_name_is_well_formed_in_xml(name: str) -> None:
    from xml.sax.saxutils import quoteattr

    losses = Losses()
    try:
        shown = losses.xml(name)
    except UnicodeEncodeError:
        return  # a lone surrogate, which no file name has
    ElementTree.fromstring(f"<a b={quoteattr(shown)}/>")
