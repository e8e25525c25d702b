"""The two scores of Mask Scoring R-CNN, from a model's weights to AP, and through COCO files."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from segcli.cli import app
from segcli.evaluate import Choices, evaluate
from segcli.models import checkpoint
from segcli.store import MinScores
from segcli.store.image_masks import Mask, read_image_masks
from segcli.types import Resize
from segcli_maskscoring import FAMILY


def segcli(*words: object) -> None:
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image through predict with random weights, whose estimates of the IoU differ widely."""
    folder = tmp_path_factory.mktemp("rows")
    torch.manual_seed(0)
    info = replace(
        FAMILY.variants["lite2"], categories=("cat", "dog"), category_ids=(1, 2),
        resize=Resize(128, 128),
    )  # fmt: skip
    model: Any = FAMILY.build(info)
    torch.nn.init.normal_(model.roi_heads.maskiou.iou.weight, std=0.3)
    torch.nn.init.constant_(model.roi_heads.maskiou.iou.bias, 0.5)
    checkpoint.save(folder / "random.safetensors", model.state_dict(), info)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((128, 128)).save(folder / "a.png")
    segcli("predict", folder / "a.png", "--out", folder / "masks.parquet", "--weights",
           folder / "random.safetensors", "--min-score", 0.01, "--device", "cpu",
           "--precision", "float32", "--max-masks", 40)  # fmt: skip
    return folder / "masks.parquet"


def masks(path: Path) -> tuple[Mask, ...]:
    (image,) = read_image_masks(path, min_score=MinScores(0.0))
    return image.masks


def overtaken(found: tuple[Mask, ...]) -> Mask:
    """A mask whose mask score is the best of its category, but whose score is not."""
    for category in {mask.category for mask in found}:
        own = [mask for mask in found if mask.category == category]
        best = max(own, key=lambda mask: mask.mask_score)
        if any(mask.score > best.score for mask in own):
            return best
    raise AssertionError("the order is the same by both scores")


def test_rows_have_both_scores(output: Path) -> None:
    found = masks(output)
    assert len(found) > 2
    assert all(0 <= mask.mask_score <= 1 for mask in found)
    assert len({round(mask.mask_score / mask.score, 3) for mask in found}) > 2


def test_ap_ranks_masks_by_the_mask_score_and_boxes_by_the_score(output, tmp_path: Path) -> None:
    segcli("export", output, "--to", "coco", "--min-score", 0, "--out", tmp_path / "all.json")
    document = json.loads((tmp_path / "all.json").read_text())
    best = overtaken(masks(output))
    document["annotations"] = [
        one for one in document["annotations"] if one.get("mask_score") == best.mask_score
    ]
    assert len(document["annotations"]) == 1
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps(document))
    ap = {iou: evaluate(truth, output, choices=Choices(iou=iou)).metrics["AP"]
          for iou in ("segm", "bbox")}  # fmt: skip
    assert ap["segm"] == pytest.approx(1)
    assert 0 < ap["bbox"] < 0.9


def test_both_scores_survive_export_and_import(output: Path, tmp_path: Path) -> None:
    segcli("export", output, "--to", "coco", "--min-score", 0, "--out", tmp_path / "ann.json")
    back = tmp_path / "back.parquet"
    segcli("import", tmp_path / "ann.json", "--from", "coco", "--out", back)
    scores = [
        sorted((m.score, m.mask_score, m.rle) for m in masks(path)) for path in (output, back)
    ]
    assert scores[0] == scores[1]
    for iou, name in (("segm", "mask_score"), ("bbox", "score")):
        path = tmp_path / f"{iou}.json"
        segcli("export", output, "--to", "coco-results", "--iou", iou, "--min-score", 0,
               "--out", path)  # fmt: skip
        written = sorted(one["score"] for one in json.loads(path.read_text()))
        assert written == sorted(getattr(mask, name) for mask in masks(output))
