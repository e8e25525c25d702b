"""Exports with their images, read as the other tools read them."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from segcli.annotations.yolo import label_place
from segcli.cli import app
from segcli.errors import UsageError
from segcli.export.import_annotations import import_annotations
from segcli.masks import rle
from segcli.store import Settings, open_output, read_masks
from segcli.types import Record, Sample, Segment

KEYS = ["a.jpg", "cam1/b.v2.PNG", "images/val/c.jpg", "train/images/d.jpg"]


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """One mask of 4 x 4 px in each of four images, whose files are in pictures/."""
    square = np.zeros((8, 10), bool)
    square[2:6, 3:7] = True
    records = []
    for key in KEYS:
        path = tmp_path / "pictures" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10, 8), "red").save(path)
        segment = Segment(0, 0.9, (3, 2, 4, 4), 16, rle.encode(square))
        records.append(Record(Sample(key, str(path)), 8, 10, [segment]))
    settings = Settings({"source_root": str(tmp_path / "pictures")}, {"default_score": 0.5})
    out = tmp_path / "masks.parquet"
    with open_output(out, settings, carried={}, categories=(("person",), (1,))) as output:
        output.commit(records)
    return out


def export(*words: object) -> str:
    result = CliRunner().invoke(app, ["export", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result.output


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def labels_of(data: Path) -> dict[str, str]:
    """Image -> its label, by the rules that Ultralytics documents: `path` is the root (a relative
    one is not that of the file), images are found below `train`, and each label is where the last
    "/images/" of its path is "/labels/"."""
    content = yaml.safe_load(data.read_text())
    root = Path(content["path"])
    assert root.is_absolute()
    found = {}
    for path in sorted((root / content["train"]).rglob("*.*")):
        if path.suffix.lower()[1:] in {"bmp", "jpg", "jpeg", "png", "tif", "tiff", "webp"}:
            before, _, after = str(path).rpartition("/images/")
            label = Path(f"{before}/labels/{after.rpartition('.')[0]}.txt")
            assert size_of(path) == (10, 8)
            found[str(path.relative_to(root))] = label.read_text()
    return found


@pytest.mark.parametrize("option", ["--copy-images", "--link-images"])
def test_a_data_set_of_yolo_is_complete(masks: Path, tmp_path: Path, option: str) -> None:
    told = export(masks, "--to", "yolo", "--out", tmp_path / "yolo", option)
    assert len(told.splitlines()) == 1
    found = labels_of(tmp_path / "yolo/data.yaml")
    names = ["images/a.jpg", "images/cam1/b.v2.PNG", "images/val/c.jpg", "train/images/d.jpg"]
    assert sorted(found) == names
    assert all(len(text.split()) == 9 for text in found.values())
    assert (tmp_path / "yolo/images/a.jpg").is_symlink() == (option == "--link-images")
    assert export(masks, "--to", "yolo", "--out", tmp_path / "yolo", option) == told
    import_annotations("yolo", tmp_path / "yolo", tmp_path / "in.parquet", images=tmp_path / "yolo")
    areas = [a for batch in read_masks(tmp_path / "in.parquet") for a in batch["area"].to_pylist()]
    assert areas == [16] * 4


def test_labelme_finds_the_images(masks: Path, tmp_path: Path) -> None:
    export(masks, "--to", "labelme", "--out", tmp_path / "lm", "--copy-images")
    for key in KEYS:
        document = (tmp_path / "lm" / key).with_suffix(".json")
        shown = json.loads(document.read_text())["imagePath"]
        assert size_of(document.parent / shown) == (10, 8)


def test_what_is_missing_is_said(masks: Path, tmp_path: Path) -> None:
    for to in ("yolo", "labelme"):
        told = export(masks, "--to", to, "--out", tmp_path / to)
        assert told.splitlines()[1].startswith("4 images are not ")
        assert "--copy-images" in told
    images = tmp_path / "pictures"
    assert len(export(masks, "--to", "labelme", "--out", images).splitlines()) == 1
    told = export(masks, "--to", "labelme", "--out", tmp_path / "x", "--images", images)
    assert len(told.splitlines()) == 1
    (images / "a.jpg").unlink()
    told = export(masks, "--to", "yolo", "--out", tmp_path / "y", "--copy-images")
    assert "1 image could not be placed: the file is missing" in told
    assert "3 images" not in told
    assert (tmp_path / "y/images/cam1/b.v2.PNG").exists()


def test_nothing_that_is_there_is_overwritten(masks: Path, tmp_path: Path) -> None:
    (tmp_path / "yolo/images").mkdir(parents=True)
    (tmp_path / "yolo/images/a.jpg").write_bytes(b"somebody's")
    with pytest.raises(UsageError, match=r"a\.jpg already exists and is another file"):
        export(masks, "--to", "yolo", "--out", tmp_path / "yolo", "--copy-images")
    with pytest.raises(UsageError, match="exclude each other"):
        export(masks, "--to", "yolo", "--out", tmp_path / "z", "--copy-images", "--link-images")
    with pytest.raises(UsageError, match="--to coco takes no images"):
        export(masks, "--to", "coco", "--out", tmp_path / "z", "--copy-images")
    original = os.stat(tmp_path / "pictures/a.jpg")
    export(masks, "--to", "labelme", "--out", tmp_path / "pictures", "--link-images")
    assert os.lstat(tmp_path / "pictures/a.jpg") == original  # it is its own place


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a.jpg", "labels/a.jpg"),
        ("my images/a.jpg", "labels/my images/a.jpg"),
        ("images/x/images/a.jpg", "images/x/labels/a.jpg"),
        ("images", "labels/images"),
        ("/data/images/a.jpg", "/data/images/a.jpg"),
    ],
)
def test_places_of_labels(name: str, place: str) -> None:
    assert label_place(name) == place
