"""`segcli train` from annotations to a model that predict takes."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from segcli.cli import app
from segcli.errors import UsageError


def segcli(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "segcli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture
def dataset(tmp_path: Path) -> tuple[Path, Path]:
    images = tmp_path / "images"
    images.mkdir()
    pixels = np.full((64, 64, 3), 100, dtype=np.uint8)
    pixels[16:48, 16:48] = (250, 30, 30)
    Image.fromarray(pixels).save(images / "a.png")
    square = {"segmentation": [[16, 16, 48, 16, 48, 48, 16, 48]], "bbox": [16, 16, 32, 32]}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 64, "width": 64}],
        "annotations": [
            square | {"id": 1, "image_id": 1, "category_id": 5, "area": 1024, "iscrowd": 0}
        ],
        "categories": [{"id": 5, "name": "square"}, {"id": 6, "name": "round"}],
    }
    (tmp_path / "ann.json").write_text(json.dumps(content))
    return images, tmp_path / "ann.json"


@pytest.mark.slow
def test_a_trained_model_is_used_by_predict(dataset, tmp_path) -> None:
    images, ann = dataset
    run = tmp_path / "run"
    words = ["--images", images, "--ann", ann, "--categories", "square", "--image-size", "64"]
    words += ["--val-images", images, "--val-ann", ann, "--precision", "float32", "--out", run]
    words += ["--repeats", 12, "--test-size", "64-64", "--batch-size", 2]
    done = segcli("train", *words, "--epochs", 2)
    assert done.returncode == 0, done.stderr
    assert "starting from the weights of maskrcnn/lite2" in done.stdout
    assert "12 steps, including 1 of warm-up" in done.stdout
    assert "epoch 1 step 1/12" in done.stdout
    assert "square (1): AP" in done.stdout
    assert len((run / "val.jsonl").read_text().splitlines()) == 2
    files = {path.name for path in run.iterdir()}
    assert files >= {"log.jsonl", "curves.png", "curves.svg", "best.safetensors"}
    assert files >= {"last.safetensors", "model.safetensors"}

    before = (run / "last.pt").read_bytes()
    done = segcli("train", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--resume continues it" in done.stderr
    assert (run / "last.pt").read_bytes() == before

    out = tmp_path / "masks.parquet"
    weights = run / "model.safetensors"
    done = segcli("predict", images, "--out", out, "--weights", weights, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert list(out.glob("part-*.parquet"))


@pytest.mark.slow
def test_pictures_of_the_validation_show_found_beside_true(data, tmp_path) -> None:
    from segcli.cli.validation import draw_pictures
    from segcli.models.registry import shipped
    from segcli.train.sources import Validation

    content = json.loads((data / "coco80_val/annotations.json").read_text())
    people = Counter(a["image_id"] for a in content["annotations"] if a["category_id"] == 1)
    chosen = [number for number, _ in people.most_common(2)]
    content["images"] = [image for image in content["images"] if image["id"] in chosen]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in chosen]
    ann = tmp_path / "ann.json"
    ann.write_text(json.dumps(content))
    validation = Validation("val", data / "coco80_val/images", ann)
    weights = shipped("maskrcnn")["lite2"]
    for _ in range(2):  # a second time they are drawn afresh
        draw_pictures(validation, weights, tmp_path / "out", device="cpu", precision="float32")
    assert len(list((tmp_path / "out").glob("**/*.jpg"))) == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--categories", "cat"], "no annotations of cat; the files have square, round"),
        (["--image-size", "big"], "expected px as N or LOW-HIGH"),
        (["--model", "maskrcn"], "did you mean 'maskrcnn'"),
        (["--ann", "other.json"], "1 --images and 2 --ann"),
        (["--only-categories", "all", "--only-categories", "all"], "2 --only-categories for 1"),
        (["--weights", "nothing.pth"], "nothing.pth"),
        (["--val-images", "x"], "go together"),
        (["--resume"], "leave out --resume"),
        (["--jitter", "2-0.1"], "--jitter 2-0.1: expected LOW-HIGH"),
        (["--from-scratch", "--norms", "fixed"], "leave out one of them"),
        (["--freeze", "9"], "has 4 stages, so 9 of them cannot be frozen"),
        (["--from-scratch", "--freeze", "2"], "--from-scratch starts without any"),
        (["--jitter", "0.1-2", "--no-augment"], "which --no-augment turns off"),
        (["--patience", "3"], "--patience needs validation images"),
        (["--val-every", "2"], "--val-every needs validation images"),
        (["--lr", "nan"], "--lr nan: expected a number above 0"),
        (["--lr", "-1"], "--lr -1: expected a number above 0"),
        (["--weights", "maskrcnn/nothing"], "the shipped weights are"),
        (["--from-scratch", "--weights", "maskrcnn/lite2"], "leave out --weights"),
        (["--model", "yolact"], "no initial weights: none of yolact/r50 are shipped"),
        (["--only-categories", "sqare"], "has no category 'sqare'; it has round, square"),
    ],
)
def test_wrong_options_are_explained(dataset, tmp_path, words, reason) -> None:
    images, ann = dataset
    given = ["train", "--images", str(images), "--ann", str(ann), "--out", str(tmp_path / "run")]
    with pytest.raises(UsageError, match=re.escape(reason)):
        CliRunner().invoke(app, [*given, *words], catch_exceptions=False)
