"""Annotations in, the same masks out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segcli.errors import UsageError
from segcli.export import FORMATS, Choices, select
from segcli.export.import_annotations import Imported, import_annotations
from segcli.masks import rle
from segcli.stats import StatsOptions, statistics
from segcli.store import min_scores, part_paths, read_images, read_masks, read_settings
from segcli.store.query import Rows
from segcli.viz import Wanted, find

Masks = dict[str, list[tuple[int, float, np.ndarray]]]


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for batch in read_masks(path) for row in batch.to_pylist()]


def decoded(path: Path) -> dict[str, list[tuple[str, np.ndarray]]]:
    found: dict[str, list[tuple[str, np.ndarray]]] = {}
    for batch in read_images(path):
        found |= {row["key"]: [] for row in batch.to_pylist()}
    for row in rows(path):
        mask = rle.decode(row["rle"], row["height"], row["width"])
        found[row["key"]].append((row["category"], mask))
    return found


def write(output: Path, to: str, out: Path, images: Path | None = None) -> None:
    FORMATS[to](select(output, min_score=0.0), out, Choices(images=images))


def same(found: dict[str, list[tuple[str, np.ndarray]]], masks: Masks) -> bool:
    names = ("person", "red car")
    return list(found) == list(masks) and all(
        {(c, m.tobytes()) for c, m in found[key]} == {(names[k], m.tobytes()) for k, _, m in own}
        for key, own in masks.items()
    )


def test_coco_there_and_back(output: Path, masks: Masks, tmp_path: Path) -> None:
    write(output, "coco", tmp_path / "ann.json")
    done = import_annotations(None, tmp_path / "ann.json", tmp_path / "in.parquet")
    assert done == Imported("coco", 3, 4, scored=True)
    assert same(decoded(tmp_path / "in.parquet"), masks)
    assert [row["score"] for row in rows(tmp_path / "in.parquet")] == [0.9, 0.6, 0.2, 0.75]


def test_labelme_there_and_back(output: Path, masks: Masks, tmp_path: Path) -> None:
    write(output, "labelme", tmp_path / "lm")
    import_annotations("labelme", tmp_path / "lm", tmp_path / "in.parquet")
    assert same(decoded(tmp_path / "in.parquet"), masks)


def test_yolo_there_and_back(output: Path, masks: Masks, tmp_path: Path) -> None:
    write(output, "yolo", tmp_path / "yolo")
    for key, (height, width) in {"a.jpg": (30, 40), "b.png": (8, 9)}.items():
        path = tmp_path / "pictures/cam1" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height)).save(path)
    (tmp_path / "pictures/cam2").mkdir()
    Image.new("RGB", (20, 50)).save(tmp_path / "pictures/cam2/a.jpg")
    done = import_annotations(
        "yolo", tmp_path / "yolo", tmp_path / "in.parquet", images=tmp_path / "pictures"
    )
    assert (done.images, done.masks, done.scored, done.notes) == (3, 4, False, ())
    assert same(decoded(tmp_path / "in.parquet"), masks)


def test_crowds_are_left_out_and_counted(tmp_path: Path) -> None:
    square = [[0, 0, 4, 0, 4, 4, 0, 4]]
    document = {
        "images": [{"id": 5, "height": 8, "width": 8, "file_name": "a#1.jpg"}],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 3, "segmentation": square, "iscrowd": 1},
            {"id": 2, "image_id": 5, "category_id": 3, "segmentation": square},
        ],
    }
    (tmp_path / "ann.json").write_text(json.dumps(document))
    done = import_annotations("coco", tmp_path / "ann.json", tmp_path / "in.parquet")
    assert done == Imported("coco", 1, 1, False, ("1 crowd region was left out",))
    (row,) = rows(tmp_path / "in.parquet")
    assert (row["key"], row["category_id"], row["area"], row["score"]) == ("a#1.jpg", 3, 16, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 1.5}, 'annotation 2: "image_id": 1.5'),
        ({"segmentation": [[0, 0, 1]]}, "annotation 2: a polygon of 3 numbers"),
        ({"segmentation": {"size": [8, 8], "counts": "00"}}, "annotation 2: the runs"),
        ({"segmentation": 5}, "annotation 2 has no mask"),
        ({"score": 7}, "annotation 2: its score 7"),
    ],
)
def test_a_wrong_annotation_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    item = {
        "id": 2,
        "image_id": 5,
        "category_id": 3,
        "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]],
        **change,
    }
    document = {
        "images": [{"id": 5, "height": 8, "width": 8, "file_name": "a.jpg"}],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [item],
    }
    (tmp_path / "ann.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match=message):
        import_annotations("coco", tmp_path / "ann.json", tmp_path / "in.parquet")


def test_imported_scores_are_counted_everywhere(tmp_path: Path) -> None:
    square = [[0, 0, 4, 0, 4, 4, 0, 4]]
    document = {
        "images": [{"id": 1, "height": 8, "width": 8, "file_name": "a.jpg"}],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [
            {"image_id": 1, "category_id": 3, "segmentation": square, "score": score}
            for score in (0.31, 0.87)
        ],
    }
    (tmp_path / "ann.json").write_text(json.dumps(document))
    out = tmp_path / "in.parquet"
    assert import_annotations("coco", tmp_path / "ann.json", out).scored
    assert [row["masks"] for row in statistics(StatsOptions(masks=out)).classes] == [2]
    assert [len(image.masks) for image in select(out).with_masks()] == [2]
    with Rows(part_paths(out)) as opened:
        wanted = Wanted(min_score=min_scores(read_settings(out), None))
        assert [len(image.masks) for image in find(opened, wanted)] == [2]


def test_an_import_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("segcli.export.import_annotations._CHUNK", 1)
    square = [[0, 0, 4, 0, 4, 4, 0, 4]]
    document = {
        "images": [{"id": i, "height": 8, "width": 8, "file_name": f"{i}.jpg"} for i in (1, 2)],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 3, "segmentation": square, "score": i / 1.5}
            for i in (1, 2)
        ],
    }
    (tmp_path / "ann.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="its score"):
        import_annotations("coco", tmp_path / "ann.json", tmp_path / "in.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["ann.json"]


def test_an_output_that_exists_is_refused(output: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="already exists"):
        import_annotations("coco", tmp_path / "ann.json", output)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.1,0.1,0.5,0.1,0.5,0.6", "line 2: numbers separated by commas"),
        ("0 0.5 0.5", "line 2: a polygon of 1 corners"),
        ("7 0 0 1 0 1 1", "line 2: class 7, but data.yaml names 2"),
        ("0 0 0 1 0 nan 1", "line 2: a corner is far outside"),
        ("0 0 0 100 0 100 100", "line 2: a corner is far outside"),
        ("0 0 0 1 0 1 1 3.5", "line 2: its score 3.5"),
        ("car 0 0 1 0 1 1", "line 2: class 'car'; expected a whole number"),
    ],
)
def test_a_wrong_line_of_yolo_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bring_in_yolo(tmp_path, f"1 0 0 1 0 1 1\n{line}\n")


def test_a_score_at_the_end_of_a_line_of_yolo(tmp_path: Path) -> None:
    bring_in_yolo(tmp_path, "1 0 0 1 0 1 1 0 1 0.25\n\n0 0.5 0 1 0 1 1 0.5 1\n")
    found = [(r["category"], r["score"], r["area"]) for r in rows(tmp_path / "in.parquet")]
    assert found == [("a", 1.0, 12), ("b", 0.25, 24)]


def bring_in_yolo(folder: Path, text: str) -> None:
    """Labels of one picture, 6 px wide and 4 px tall."""
    for name in ("labels", "pictures"):
        (folder / name).mkdir()
    (folder / "data.yaml").write_text("names: [a, 'b']\n")
    (folder / "labels/x.txt").write_text(text)
    Image.new("RGB", (6, 4)).save(folder / "pictures/x.png")
    import_annotations("yolo", folder, folder / "in.parquet", images=folder / "pictures")


def test_yolo_needs_the_pictures(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [a]")
    with pytest.raises(UsageError, match="as `images`"):
        import_annotations("yolo", tmp_path, tmp_path / "in.parquet")
