"""`segcli.load(...)(image)` gives the rows that the command writes."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import segcli
from segcli.errors import ImageError, UsageError
from segcli.masks import rle

TOY = Path(__file__).resolve().parents[1] / "toy"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> segcli.Model:
    monkeypatch.syspath_prepend(TOY)
    return segcli.load("toy", device="cpu")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A PNG, a JPEG that EXIF turns, and a grey PNG."""
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[10:40, 20:50, 0] = 220
    pixels[30:55, 60:85, 2] = 240
    Image.fromarray(pixels).save(folder / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(folder / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(pixels[..., 0]).save(folder / "grey.png")
    return folder


def assert_same(result: segcli.Result, rows: list[dict]) -> None:
    assert len(result) == len(rows)
    assert [row["score"] for row in rows] == result.scores.tolist()
    assert [tuple(row["bbox"].values()) for row in rows] == [tuple(b) for b in result.boxes]
    assert [row["category"] for row in rows] == list(result.categories)
    assert [row["category_id"] for row in rows] == result.category_ids.tolist()
    assert [row["area"] for row in rows] == result.areas.tolist()
    assert [row["rle"] for row in rows] == list(result.rles)
    assert all((r["height"], r["width"]) == (result.height, result.width) for r in rows)


def test_results_equal_the_rows_of_the_command(
    model: segcli.Model, images: Path, tmp_path: Path
) -> None:
    summary = segcli.predict(images, out=tmp_path / "m.parquet", model="toy", device="cpu")
    assert (summary.images, summary.failed) == (3, 0)
    rows = list(segcli.read(tmp_path / "m.parquet").masks())
    assert {row["key"] for row in rows} >= {"a.png", "turned.jpg"}
    for path in sorted(images.iterdir()):
        own = [row for row in rows if row["key"] == path.name]
        assert_same(model(path), own)
        assert_same(model(str(path)), own)
        with Image.open(path) as picture:
            result = model(picture)
            assert result.image.key == path.name
            assert_same(result, own)
    with Image.open(images / "a.png") as picture:
        assert_same(model(np.asarray(picture)), [row for row in rows if row["key"] == "a.png"])
    grey = np.asarray(Image.open(images / "grey.png"))
    assert_same(model(grey), [row for row in rows if row["key"] == "grey.png"])


def test_masks_are_decoded_when_asked_for(model: segcli.Model, images: Path) -> None:
    result = model(images / "a.png")
    masks = result.masks
    assert masks[0].shape == (60, 90)
    assert [int(mask.sum()) for mask in masks] == result.areas.tolist()
    stacked = np.asarray(masks)
    assert (stacked.dtype, stacked.shape) == (bool, (len(result), 60, 90))
    assert len(masks[:1]) == 1
    with pytest.raises(IndexError):
        masks[len(result)]


def test_coco_annotations(model: segcli.Model, images: Path) -> None:
    result = model(images / "a.png")
    first = result.to_coco(image_id=7)[0]
    assert (first["id"], first["image_id"], first["iscrowd"]) == (1, 7, 0)
    assert first["bbox"] == result.boxes[0].tolist()
    text = rle.from_coco(first["segmentation"], 60, 90)
    assert (rle.decode(text, 60, 90) == result.masks[0]).all()


def test_detections_for_supervision(
    model: segcli.Model, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the arguments of the constructor recorded: the package itself is rarely installed."""
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=SimpleNamespace))
    result = model(images / "a.png")
    made = result.to_supervision()
    x, y, w, h = result.boxes[0]
    assert made.xyxy[0].tolist() == [x, y, x + w, y + h]
    assert made.mask.shape == (len(result), 60, 90)
    assert made.confidence.tolist() == result.scores.tolist()
    assert made.class_id.tolist() == result.labels.tolist()
    assert made.data["class_name"].tolist() == list(result.categories)
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UsageError, match="pip install supervision"):
        result.to_supervision()


def test_supervision_takes_them(model: segcli.Model, images: Path) -> None:
    supervision = pytest.importorskip("supervision")
    result = model(images / "a.png")
    drawn = supervision.MaskAnnotator().annotate(
        result.image.pixels.copy(), result.to_supervision()
    )
    assert (drawn != result.image.pixels).any()


def test_an_image_without_objects(model: segcli.Model) -> None:
    result = model(np.zeros((40, 50, 3), np.uint8)).above(1.0)
    assert (len(result), result.boxes.shape, result.to_coco()) == (0, (0, 4), [])
    assert np.asarray(result.masks).shape == (0, 40, 50)
    assert repr(result) == "<50 x 40 px, nothing found>"


def test_a_notebook_shows_a_picture(model: segcli.Model, images: Path) -> None:
    result = model(images / "a.png")
    assert result._repr_png_().startswith(b"\x89PNG")
    assert (result.draw() != result.image.pixels).any()
    assert result.draw(max_side=45).shape == (30, 45, 3)
    assert len(result.above(0.0)) == len(result)


def test_what_is_not_an_image(model: segcli.Model, tmp_path: Path) -> None:
    for wrong in (np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), b"none", None):
        with pytest.raises(UsageError, match="is not an image; expected a path"):
            model(wrong)
    (tmp_path / "broken.jpg").write_bytes(b"no")
    for path in (tmp_path / "broken.jpg", tmp_path / "none.jpg"):
        with pytest.raises(ImageError):
            model(path)


def test_options_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(TOY)
    with pytest.raises(UsageError, match="no model family named 'tyo'"):
        segcli.load("tyo")
    with pytest.raises(UsageError, match="no option 'min_scor'; did you mean 'min_score'"):
        segcli.predict(tmp_path, out=tmp_path / "m.parquet", min_scor=0.3)


def test_the_names_of_options_are_those_of_the_command() -> None:
    from dataclasses import fields

    from segcli.api.run import Options
    from segcli.pipeline import PredictOptions

    own = {"source", "out", "count_ahead", "command_line", "run_id"}
    assert set(Options.__annotations__) == {field.name for field in fields(PredictOptions)} - own


def test_importing_segcli_is_light() -> None:
    code = (
        "import sys, segcli; assert 'load' in dir(segcli)\n"
        "print(sorted({'numpy', 'torch', 'pyarrow', 'PIL', 'duckdb'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
