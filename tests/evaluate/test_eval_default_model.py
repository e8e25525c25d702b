"""Both engines on what the default model itself finds: the same numbers to the last bit."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segcli.evaluate import ENGINES, Choices, evaluate
from segcli.masks import rle
from segcli.models.registry import find
from segcli.store import read_masks

from ..conftest import ROOT
from .eval_cases import judge

IMAGES = 6


@pytest.fixture(scope="module")
def predicted(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[Path, Path]:
    """(ground truth, output): real annotations where there are some, else such as we make."""
    folder = tmp_path_factory.mktemp("default")
    (folder / "images").mkdir()
    truth = _real_images(folder, request) or _photographs(folder)
    words = ["predict", str(folder / "images"), "--out", str(folder / "masks.parquet"), "-q"]
    subprocess.run([sys.executable, "-m", "segcli", *words], check=True, cwd=ROOT)
    truth["annotations"] = truth["annotations"] or _made(folder / "masks.parquet", truth)
    (folder / "ann.json").write_text(json.dumps(truth))
    return folder / "ann.json", folder / "masks.parquet"


def _real_images(folder: Path, request: pytest.FixtureRequest) -> dict[str, Any] | None:
    try:
        source = request.getfixturevalue("data") / "coco80_val"
    except pytest.skip.Exception:
        return None
    truth: dict[str, Any] = json.loads((source / "annotations.json").read_text())
    truth["images"] = truth["images"][:IMAGES]
    own = {image["id"] for image in truth["images"]}
    truth["annotations"] = [one for one in truth["annotations"] if one["image_id"] in own]
    for image in truth["images"]:
        shutil.copy(source / "images" / image["file_name"], folder / "images")
    return truth


def _photographs(folder: Path) -> dict[str, Any]:
    from skimage import data as photographs

    images = []
    for i, name in enumerate(("astronaut", "coffee", "chelsea", "rocket"), 1):
        pixels = getattr(photographs, name)()
        Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
        tall, wide = pixels.shape[:2]
        images.append({"id": i, "file_name": f"{name}.png", "height": tall, "width": wide})
    info = find(None)[1]
    kinds = [
        {"id": number, "name": name}
        for number, name in zip(info.category_ids, info.categories, strict=True)
    ]
    return {"images": images, "categories": kinds, "annotations": []}


def _made(output: Path, truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Every other mask that was found, with a corner bitten off."""
    lot, items = random.Random(5), []
    ids = {image["file_name"]: image["id"] for image in truth["images"]}
    kinds = {one["name"]: one["id"] for one in truth["categories"]}
    for row in (row for batch in read_masks(output) for row in batch.to_pylist()):
        mask = rle.decode(row["rle"], row["height"], row["width"]).copy()
        mask[: int(row["bbox"]["y"] + row["bbox"]["h"] * lot.random() / 2)] = False
        if lot.random() < 0.5 or not mask.any() or row["category"] not in kinds:
            continue
        text = rle.encode(mask)
        items.append(
            {
                "id": len(items) + 1,
                "image_id": ids[row["key"]],
                "category_id": kinds[row["category"]],
                "segmentation": {"size": list(mask.shape), "counts": text.decode()},
                "bbox": list(rle.to_box(text, *mask.shape)),
                "area": int(mask.sum()),
                "iscrowd": 0,
            }
        )
    return items


@pytest.mark.slow
@pytest.mark.parametrize("iou", ["segm", "bbox"])
def test_the_default_models_own_predictions(predicted: tuple[Path, Path], iou: str) -> None:
    truth, output = predicted
    both = [evaluate(truth, output, choices=Choices(iou), engine=engine) for engine in ENGINES]
    assert both[0].metrics == both[1].metrics
    assert both[0].metrics["AP"] > 0
    for name in ("precision", "recall", "scores"):
        fast, slow = (getattr(one.curves, name) for one in both)
        assert np.array_equal(fast, slow)
    assert list(both[0].metrics.values()) == _judged(truth, output, iou)


def _judged(path: Path, output: Path, iou: str) -> list[float]:
    """pycocotools alone, from the JSON that a user would have written for it."""
    truth = json.loads(path.read_text())
    ids = {image["file_name"]: image["id"] for image in truth["images"]}
    kinds = {one["name"]: one["id"] for one in truth["categories"]}
    found = []
    for row in (row for batch in read_masks(output) for row in batch.to_pylist()):
        found.append(
            {
                "image_id": ids[row["key"]],
                "category_id": kinds[row["category"]],
                "score": row["score"],
                "bbox": [row["bbox"][side] for side in "xywh"],
                "segmentation": {
                    "size": [row["height"], row["width"]],
                    "counts": row["rle"].decode(),
                },
            }
        )
    names = set(find(None)[1].categories)  # what the model looks for
    truth["categories"] = [one for one in truth["categories"] if one["name"] in names]
    few = {one["id"] for one in truth["categories"]}
    truth["annotations"] = [one for one in truth["annotations"] if one["category_id"] in few]
    stats: list[float] = judge(truth, found, iou).stats.tolist()
    return stats
