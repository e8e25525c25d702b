"""Export, read by an independent reader, same masks."""

import base64
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from segcli.errors import UsageError
from segcli.export import FORMATS, Choices, select
from segcli.masks import rle
from segcli.zones import zones_of_output

Masks = dict[str, list[tuple[int, float, np.ndarray]]]


def run(
    output: Path, to: str, out: Path, *, polygons: bool = False, png: str = "classes", **more: Any
) -> Any:
    images = more.pop("images", None)
    place = more.pop("place", None)
    return FORMATS[to](select(output, **more), out, Choices(polygons, png, images, place))


def even_odd(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixel centres inside a closed polygon (n, 2) of any sides, by crossings to the left."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inside = np.zeros((height, width), bool)
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, 0), strict=True):
        if ay == by:
            continue
        crosses = (ay <= y) != (by <= y)
        inside ^= crosses & (x > ax + (y - ay) * (bx - ax) / (by - ay))
    return inside


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prefix", "root", "out"),
    [
        ("", "images", "images"),
        ("", "images", "images/../images"),
        ("cam1", "images/cam1", "images"),
        ("", "lists/a.txt", "lists"),
        ("", "lists/a.txt", "."),
    ],
)
def test_label_maps_do_not_overwrite_the_images(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, root: str, out: str
) -> None:
    for folder in ("images/cam1", "lists"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    roots = {prefix: [str(tmp_path / root)]}
    monkeypatch.setattr("segcli.export.png_masks.read_roots", lambda path: roots)
    with pytest.raises(UsageError, match="would overwrite"):
        run(output, "png", tmp_path / out)
    run(output, "png", tmp_path / "maps")
    assert (tmp_path / "maps/cam1/b.png").exists()


@pytest.mark.parametrize("to", ["coco", "cvat", "geojson"])
def test_names_that_are_no_text_are_counted(tmp_path: Path, to: str) -> None:
    output = an_output(tmp_path / "m.parquet", [r"a\xff.jpg", "b.jpg"], masks=1)
    tally = run(output, to, tmp_path / "out")
    assert tally.sentences() == ["1 image name has bytes that are not text, written as U+FFFD"]


@pytest.mark.parametrize("polygons", [False, True])
def test_coco_is_read_by_pycocotools(
    output: Path, masks: Masks, tmp_path: Path, polygons: bool
) -> None:
    tally = run(output, "coco", tmp_path / "ann.json", polygons=polygons, min_score=0.0)
    coco = COCO(str(tmp_path / "ann.json"))
    assert sorted(coco.anns) == [1, 2, 3, 4]
    assert {i: image["file_name"] for i, image in coco.imgs.items()} == {
        1: "cam1/a.jpg",
        2: "cam1/b.png",
        3: "cam2/a.jpg",
    }
    assert [(c["id"], c["name"]) for c in coco.loadCats(coco.getCatIds())] == [
        (1, "person"),
        (44, "red car"),
    ]
    expected = [one for found in masks.values() for one in found]
    lost = 0
    for ann, (label, score, mask) in zip(coco.anns.values(), expected, strict=True):
        assert ann["category_id"] == (1, 44)[label]
        assert ann["score"] == score
        assert ann["area"] == mask.sum()
        coded = coco.annToRLE(ann)
        text = coded["counts"]
        text = text.encode() if isinstance(text, str) else text
        back = rle.decode(text, *coded["size"])
        assert (back | mask).sum() == back.sum()
        lost += not np.array_equal(back, mask)
    assert (lost > 0) == polygons
    assert tally.sentences() == (
        [
            "holes of 3 masks were filled: polygons of COCO have none",
            "3 masks have several polygons: Label Studio reads the first, the largest",
        ]
        if polygons
        else []
    )


def test_polygons_of_coco_are_exact_where_there_is_no_hole(
    output: Path, masks: Masks, tmp_path: Path
) -> None:
    run(output, "coco", tmp_path / "ann.json", polygons=True, min_score=0.6, categories=["red car"])
    coco = COCO(str(tmp_path / "ann.json"))
    coded = coco.annToRLE(coco.anns[1])
    assert np.array_equal(rle.decode(coded["counts"], *coded["size"]), masks["cam1/a.jpg"][1][2])


def label_studio(path: Path) -> list[tuple[str, str, np.ndarray]]:
    """(image, label, corners in percent): as Label Studio's converter reads COCO's json, which
    takes the first polygon of each annotation, and knows no run lengths."""
    document = json.loads(path.read_text())
    names = {int(one["id"]): one["name"] for one in document["categories"]}
    images = {one["id"]: one for one in document["images"]}
    found = []
    for one in document["annotations"]:
        image = images[one["image_id"]]
        points = np.array(one["segmentation"][0], float).reshape(-1, 2)
        percent = points / (image["width"], image["height"]) * 100
        found.append((image["file_name"], names[int(one["category_id"])], percent))
    return found


def test_label_studio_gets_the_largest_part(output: Path, masks: Masks, tmp_path: Path) -> None:
    run(output, "coco", tmp_path / "ann.json", polygons=True, min_score=0.6)
    read = label_studio(tmp_path / "ann.json")
    assert [(name, label) for name, label, _ in read] == [
        ("cam1/a.jpg", "person"),
        ("cam1/a.jpg", "red car"),
        ("cam2/a.jpg", "red car"),
    ]
    ring, pair = (masks["cam1/a.jpg"][i][2] for i in (0, 1))
    outer = even_odd(read[0][2] * (40, 30) / 100, *ring.shape)
    assert (outer & ring).sum() == ring.sum() == outer.sum() - 20  # the hole is filled
    largest = pair.copy()
    largest[:4, :4] = False
    assert np.array_equal(even_odd((read[1][2] * (40, 30) / 100).round(9), *pair.shape), largest)


def test_categories_are_numbered_from_one(tmp_path: Path) -> None:
    from segcli.store import Settings, open_output
    from segcli.types import Record, Sample, Segment

    path = tmp_path / "zero.parquet"
    with open_output(path, Settings({}, {}), carried={}, categories=(("a", "b"), (0, 1))) as opened:
        segment = Segment(1, 0.9, (0, 0, 2, 2), 4, b"04")
        opened.commit([Record(Sample("x.jpg", "x.jpg"), 2, 2, [segment])])
    run(path, "coco", tmp_path / "ann.json")
    document = json.loads((tmp_path / "ann.json").read_text())
    assert [(c["id"], c["name"]) for c in document["categories"]] == [(1, "a"), (2, "b")]
    assert document["annotations"][0]["category_id"] == 2
    run(path, "coco-results", tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text())[0]["category_id"] == 2


def test_results_are_read_by_pycocotools(output: Path, tmp_path: Path) -> None:
    run(output, "coco", tmp_path / "ann.json", min_score=0.0)
    run(output, "coco-results", tmp_path / "results.json", min_score=0.0)
    found = COCO(str(tmp_path / "ann.json")).loadRes(str(tmp_path / "results.json"))
    assert [ann["score"] for ann in found.anns.values()] == [0.9, 0.6, 0.2, 0.75]
    assert found.imgToAnns[3][0]["category_id"] == 44


def test_yolo_comes_back_by_the_even_odd_rule(output: Path, masks: Masks, tmp_path: Path) -> None:
    tally = run(output, "yolo", tmp_path / "yolo", min_score=0.0)
    missing, joined = tally.sentences()
    assert joined == "4 masks of several parts or with holes became one joined polygon"
    assert missing.startswith("3 images are not in images/ next to labels/")
    for key, found in masks.items():
        lines = (tmp_path / "yolo/labels" / Path(key).with_suffix(".txt")).read_text().splitlines()
        assert len(lines) == len(found)
        for line, (label, _, mask) in zip(lines, found, strict=True):
            words = line.split()
            assert int(words[0]) == label
            height, width = mask.shape
            points = np.array(words[1:], float).reshape(-1, 2) * (width, height)
            assert points.min() >= 0
            assert (points <= (width, height)).all()
            assert np.array_equal(even_odd(points.round(4), height, width), mask)
    assert "  1: red car\n" in (tmp_path / "yolo/data.yaml").read_text()


def test_labelme_polygons_and_masks(output: Path, masks: Masks, tmp_path: Path) -> None:
    run(output, "labelme", tmp_path / "lm", min_score=0.0, images=tmp_path / "pictures")
    document = json.loads((tmp_path / "lm/cam1/a.json").read_text())
    assert (document["imageHeight"], document["imageWidth"]) == (30, 40)
    assert (tmp_path / "lm/cam1" / document["imagePath"]).resolve() == (
        tmp_path / "pictures/cam1/a.jpg"
    ).resolve()
    for shape, (label, _, mask) in zip(document["shapes"], masks["cam1/a.jpg"], strict=True):
        assert shape["label"] == ("person", "red car")[label]
        (x0, y0), (x1, y1) = np.array(shape["points"], int)
        crop = np.array(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
        whole = np.zeros(mask.shape, bool)
        whole[y0 : y1 + 1, x0 : x1 + 1] = crop
        assert np.array_equal(whole, mask)
    assert json.loads((tmp_path / "lm/cam1/b.json").read_text())["shapes"] == []


def test_cvat_masks_go_row_by_row(output: Path, masks: Masks, tmp_path: Path) -> None:
    run(output, "cvat", tmp_path / "cvat.xml", min_score=0.0)
    root = ET.parse(tmp_path / "cvat.xml").getroot()
    assert [child.tag for child in root] == ["version", "meta", "image", "image", "image"]
    assert root.findtext("version") == "1.1"
    assert root.findtext("meta/task/size") == "3"
    assert [label.text for label in root.findall("meta/task/labels/label/name")] == [
        "person",
        "red car",
    ]
    images = root.findall("image")
    assert [image.get("id") for image in images] == ["0", "1", "2"]
    assert [image.get("name") for image in images] == list(masks)
    for image in images:
        for element, (label, _, mask) in zip(image, masks[image.get("name")], strict=True):
            assert (element.tag, element.get("label")) == ("mask", ("person", "red car")[label])
            assert (element.get("source"), element.get("occluded")) == ("auto", "0")
            runs = [int(word) for word in element.get("rle").split(",")]
            x, y, wide, tall = (int(element.get(k)) for k in ("left", "top", "width", "height"))
            crop = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(tall, wide)
            whole = np.zeros(mask.shape, bool)
            whole[y : y + tall, x : x + wide] = crop
            assert np.array_equal(whole, mask)


def test_png_of_classes_is_read_by_pillow(output: Path, masks: Masks, tmp_path: Path) -> None:
    tally = run(output, "png", tmp_path / "png")
    with Image.open(tmp_path / "png/cam1/a.png") as image:
        assert image.mode == "P"
        labels = np.array(image)
    ring, pair = (masks["cam1/a.jpg"][i][2] for i in (0, 1))
    assert np.array_equal(labels, np.where(ring, 1, np.where(pair, 2, 0)))
    assert not tally.losses


def test_png_of_instances_and_single_masks(output: Path, masks: Masks, tmp_path: Path) -> None:
    tally = run(output, "png", tmp_path / "png", png="instances", min_score=0.0)
    with Image.open(tmp_path / "png/cam1/a.png") as image:
        numbers = np.array(image)
    ring, pair = (masks["cam1/a.jpg"][i][2] for i in (0, 1))
    assert np.array_equal(numbers, np.where(ring, 1, np.where(pair, 2, 0)))
    assert list(tally.losses.values()) == [2]
    run(output, "png", tmp_path / "single", png="binary", min_score=0.0)
    with Image.open(tmp_path / "single/cam2/a/000-red car.png") as image:
        assert np.array_equal(np.array(image), masks["cam2/a.jpg"][0][2])


def test_geojson_keeps_holes_and_parts(output: Path, masks: Masks, tmp_path: Path) -> None:
    run(output, "geojson", tmp_path / "geo", min_score=0.0)
    features = json.loads((tmp_path / "geo/cam1/a.geojson").read_text())["features"]
    assert [f["geometry"]["type"] for f in features] == ["Polygon", "MultiPolygon", "MultiPolygon"]
    for feature, (_, _, mask) in zip(features, masks["cam1/a.jpg"], strict=True):
        geometry = feature["geometry"]
        polygons = geometry["coordinates"]
        polygons = [polygons] if geometry["type"] == "Polygon" else polygons
        back = np.zeros(mask.shape, bool)
        for ring in (ring for polygon in polygons for ring in polygon):
            assert ring[0] == ring[-1]
            back ^= even_odd(np.array(ring[:-1], float), *mask.shape)
        assert np.array_equal(back, mask)


def test_the_default_score_decides_and_the_key_selects(output: Path, tmp_path: Path) -> None:
    assert run(output, "coco", tmp_path / "a.json").masks == 3
    assert run(output, "coco", tmp_path / "b.json", key="cam2/*").images == 1
    filtered = run(output, "coco", tmp_path / "c.json", where_image="key NOT GLOB 'cam2/*'")
    assert filtered.images == run(output, "coco", tmp_path / "d.json").images - 1
    assert [i["id"] for i in json.loads((tmp_path / "b.json").read_text())["images"]] == [1]


def test_case_and_underscores_of_a_category_do_not_count(output: Path) -> None:
    assert select(output, categories=["PERSON", "red_car"]).wanted == {"person", "red car"}


def test_an_unknown_category_gets_a_near_name(output: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'person'"):
        select(output, categories=["persons"])


def an_output(path: Path, keys: list[str], masks: int = 1) -> Path:
    from segcli.store import Settings, open_output
    from segcli.types import Record, Sample, Segment

    own = [Segment(0, 0.9, (0, 0, 4, 4), 16, rle.encode(np.ones((4, 4), bool)))] * masks
    with open_output(path, Settings({}, {}), carried={}, categories=(("a",), (1,))) as opened:
        for first in range(0, len(keys), 100):
            chunk = keys[first : first + 100]
            opened.commit([Record(Sample(key, key), 4, 4, own) for key in chunk])
    return path


@pytest.mark.parametrize(
    ("to", "png"), [("yolo", "classes"), ("labelme", "classes"), ("png", "binary")]
)
def test_two_images_of_one_file_are_refused(tmp_path: Path, to: str, png: str) -> None:
    path = an_output(tmp_path / "twins.parquet", ["a.jpg", "a.png"])
    with pytest.raises(UsageError, match=r"'a.jpg' and 'a.png' would both become .*`key`"):
        run(path, to, tmp_path / "out", png=png)


def test_an_export_may_be_repeated(output: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert run(output, "yolo", tmp_path / "yolo").images == 3
        assert run(output, "png", tmp_path / "png", png="binary").masks == 3
    assert not [*(tmp_path / "yolo").rglob(".*"), *(tmp_path / "png").rglob(".*")]


@pytest.mark.slow
@pytest.mark.parametrize("to", ["coco", "coco-results", "cvat", "yolo"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, to: str) -> None:
    import tracemalloc

    few = an_output(tmp_path / "few.parquet", [f"{i}.jpg" for i in range(200)], masks=2)
    many = an_output(tmp_path / "many.parquet", [f"{i}.jpg" for i in range(1600)], masks=2)

    def peak(path: Path, turn: int) -> int:
        tracemalloc.start()
        run(path, to, tmp_path / f"{path.stem}.{turn}")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    run(few, to, tmp_path / "warm")
    # The lower of two: pathlib interns names, and the process's table of them doubles now and then.
    peaks = [min(peak(path, turn) for turn in range(2)) for path in (few, many)]
    assert peaks[1] < peaks[0] + 200_000  # 1,400 more images, 2,800 more masks


def test_a_folder_is_no_file(output: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        run(output, "cvat", tmp_path)


@pytest.mark.parametrize("name", ["/etc/a.jpg", "../a.jpg", "x/../../a.jpg"])
def test_no_file_outside_the_folder(tmp_path: Path, name: str) -> None:
    from segcli.annotations.paths import beside

    with pytest.raises(UsageError):
        beside(tmp_path, name, ".txt")


def test_zones_of_masks_are_written(output: Path, tmp_path: Path) -> None:
    path = tmp_path / "zones.json"
    ring = [[0, 0], [0.7, 0], [0.7, 1], [0, 1]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"name": "left", "units": "share", "camera": "cam1", "use": "keep"},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    standing = zones_of_output(output, path)
    assert standing is not None
    run(output, "coco", tmp_path / "a.json", placed=standing.image)
    found = json.loads((tmp_path / "a.json").read_text())
    # Of cam1, the lower part of the pair of rectangles is on the right.
    assert [(a["image_id"], a["zones"]) for a in found["annotations"]] == [(1, ["left"]), (3, [])]
    assert len(found["images"]) == 3
    run(output, "geojson", tmp_path / "geo", placed=standing.image)
    (one,) = json.loads((tmp_path / "geo/cam1/a.geojson").read_text())["features"]
    assert one["properties"]["zones"] == ["left"]
