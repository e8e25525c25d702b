import json
from collections import Counter
from pathlib import Path

import pytest

from segcli.errors import UsageError
from segcli.plurals import with_count
from segcli.train.balance import ignore_boxes, repeat_rare
from segcli.train.data import AnnotatedImage, Annotation, DataSet, categories_of, read_dataset


def edit(path: Path, **changes: object) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def test_categories_come_in_order_of_their_ids(dataset) -> None:
    assert categories_of([dataset[1]]) == (("disc", "box"), (3, 7))


def test_one_name_with_two_ids_is_refused(dataset, tmp_path) -> None:
    other = tmp_path / "other.json"
    other.write_text(dataset[1].read_text())
    edit(other, categories=[{"id": 4, "name": "disc"}])
    with pytest.raises(UsageError, match="'disc' has id 3 in one file and 4"):
        categories_of([dataset[1], other])


def test_labels_follow_the_models_categories(dataset) -> None:
    rows = read_dataset(DataSet(*dataset), ("box", "disc"))
    assert [a.label for a in rows[0].annotations] == [0, 1]
    assert rows[0].aspect == pytest.approx(80 / 96)
    assert rows[0].exhaustive == (True, True)


def test_other_categories_are_background(dataset) -> None:
    rows = read_dataset(DataSet(*dataset), ("disc",))
    assert [a.label for a in rows[0].annotations] == [0]


def test_partly_annotated_data_says_so(dataset) -> None:
    rows = read_dataset(DataSet(*dataset, only=frozenset({"disc"})), ("box", "disc"))
    assert rows[0].exhaustive == (False, True)


def test_data_without_any_of_the_categories_is_refused(dataset) -> None:
    with pytest.raises(UsageError, match=r"annotates none of cat; it has box, disc"):
        read_dataset(DataSet(*dataset), ("cat",))


def without_outline(content: dict, index: int) -> dict:
    content["annotations"][index].pop("segmentation")
    return content


def test_an_object_without_an_outline_has_its_box(dataset) -> None:
    path = dataset[1]
    path.write_text(json.dumps(without_outline(json.loads(path.read_text()), 0)))
    rows = read_dataset(DataSet(*dataset), ("box", "disc"))
    boxed, outlined = rows[0].annotations
    assert boxed.box is not None
    assert boxed.box[2:] == (24, 30)
    assert boxed.outline is None
    assert outlined.box is None
    ignored = ignore_boxes(rows)[0].annotations
    assert [a.crowd for a in ignored] == [True, False]


def test_rare_categories_are_shown_more_often(dataset) -> None:
    common = AnnotatedImage(Path("a"), (9, 9), (Annotation(0, [[0.0]], False),), (True, True))
    rare = AnnotatedImage(
        Path("b"), (9, 9), (Annotation(1, [[0.0]], False),), (True, True), weight=0.5
    )
    rows = repeat_rare([common] * 15 + [rare] * 2, 0.25)  # of 16 samples 1 shows the rare one
    assert [row.weight for row in rows] == [1.0] * 15 + [1.0] * 2


def test_an_image_that_is_not_there_is_named(dataset) -> None:
    (dataset[0] / "2.png").unlink()
    with pytest.raises(UsageError, match=r"lists .*2\.png, which does not exist"):
        read_dataset(DataSet(*dataset), ("box",))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"images": []}'])
def test_what_is_no_coco_json_is_refused(tmp_path, text) -> None:
    path = tmp_path / "ann.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"ann\.json"):
        categories_of([path])


def change(path: Path, alter) -> None:
    content = json.loads(path.read_text())
    alter(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[1, 1, 9, 9, 5]], "a polygon of 5 numbers"),
        ([[1, 1, 9, None, 5, 5]], "a polygon must be a list of numbers"),
        (
            {"size": [9, 9], "counts": "x"},
            r"its mask is of size \[9, 9\], but",
        ),
        ({"size": [80, 96], "counts": [7]}, "its run lengths sum to 7 px"),
    ],
)
def test_an_outline_that_cannot_be_drawn_is_named(dataset, segmentation, reason) -> None:
    change(dataset[1], lambda c: c["annotations"][2].update(segmentation=segmentation))
    with pytest.raises(UsageError, match=rf"ann\.json: image 1\.png, annotation 3:? {reason}"):
        read_dataset(DataSet(*dataset), ("box", "disc"))


def test_what_is_of_no_use_is_counted(dataset) -> None:
    def alter(content) -> None:
        one, two, three, four, five, six, *_ = content["annotations"]
        one["segmentation"].append([1, 1, 2, 2])
        two["image_id"] = 77
        three.pop("segmentation")
        three.pop("bbox")
        four["segmentation"] = []
        five["segmentation"] = [[1, 1, 2, 2]]
        six["category_id"] = 77

    change(dataset[1], alter)
    notes: Counter[str] = Counter()
    rows = read_dataset(DataSet(*dataset), ("box", "disc"), notes=notes)
    assert {with_count(sentence, count) for sentence, count in notes.items()} == {
        "2 polygons of fewer than three points were left out",
        "1 annotation of images that the file does not list was left out",
        "1 annotation of categories that the file does not list was left out",
        "1 object with neither an outline nor a box was left out",
    }
    assert len(rows[0].annotations[0].outline) == 1
    assert [a.box is None for row in rows[1:3] for a in row.annotations] == [False, False]


def test_annotations_are_read_as_by_the_other_commands(dataset) -> None:
    def alter(content) -> None:
        for image in content["images"]:
            image |= {"id": str(image["id"]), "height": 80.0}
        content["images"].reverse()
        content["annotations"][0] |= {"iscrowd": "1", "image_id": 0.0}

    change(dataset[1], alter)
    dataset[1].write_bytes(b"\xef\xbb\xbf" + dataset[1].read_bytes())
    rows = read_dataset(DataSet(*dataset), ("box", "disc"))
    assert [row.path.name for row in rows] == ["3.png", "2.png", "1.png", "0.png"]
    assert [a.crowd for a in rows[-1].annotations] == [True, False]
    assert rows[0].size == (80, 96)


def test_paths_written_on_windows_are_read(dataset) -> None:
    folder = dataset[0] / "val"
    folder.mkdir()
    (dataset[0] / "0.png").rename(folder / "0.png")
    change(dataset[1], lambda c: c["images"][0].update(file_name="val\\0.png"))
    assert read_dataset(DataSet(*dataset), ("box",))[0].path == folder / "0.png"


def test_a_broken_entry_is_refused(dataset) -> None:
    edit(dataset[1], images=[{"id": 0}])
    with pytest.raises(UsageError, match=r'ann\.json: image 0: it has no "height"'):
        read_dataset(DataSet(*dataset), ("box",))
