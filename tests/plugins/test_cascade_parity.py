"""Cascade Mask R-CNN against recordings of detectron2."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from published import assert_loads
from safetensors.torch import load_file
from torch import Tensor, nn

from segcli.masks import rle
from segcli.masks.sampling import segments
from segcli.types import Batch, ModelInfo, Resize, Targets
from segcli_blocks.rcnn.losses import mask_targets
from segcli_blocks.rcnn.sampler import matched_regions
from segcli_blocks.rcnn.two_stage import TwoStage
from segcli_cascade import FAMILY
from segcli_cascade.convert import renamed
from segcli_cascade.variants import CONVENTIONS, assemble

SIZES, PER_LEVEL = (16, 32, 64, 128, 176), 14  # by the recording's README
Recording = dict[str, np.ndarray]


class RecordedMaps(nn.Module):
    """A backbone that returns recorded maps, level 2 first."""

    def __init__(self, maps: list[Tensor]) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.maps


def read(reference: Path, name: str) -> Recording:
    path = reference / f"cascade/{name}.npz"
    if not path.is_file():
        pytest.skip("no recording of Cascade Mask R-CNN here")
    return dict(np.load(path))


@pytest.fixture(scope="module")
def recording(reference: Path) -> Recording:
    return read(reference, "infer")


@pytest.fixture(scope="module")
def narrow(reference: Path, recording: Recording) -> TwoStage:
    """The heads of the recording, at its width, behind its recorded pyramid maps."""
    state = renamed(load_file(reference / "cascade/state_dict.safetensors"))
    state = {k: v for k, v in state.items() if not k.startswith("backbone.")}
    positions, hidden = state["roi_heads.box_predictor.0.cls_score.weight"].shape
    names = tuple(f"c{i}" for i in range(1, positions))
    info = ModelInfo("cascade", "toy", names, tuple(range(1, positions)), Resize(1, 1), 32)
    kept = len(recording["proposals_xyxy"])
    limits = {"per_level": (PER_LEVEL, PER_LEVEL), "proposals": (kept, kept)}
    conventions = replace(CONVENTIONS, anchor_sizes=SIZES, **limits)
    maps = RecordedMaps([torch.from_numpy(recording[f"fpn_p{level}"]) for level in range(2, 7)])
    width = state["rpn.head.cls_logits.weight"].shape[1]
    model = assemble(info, maps, width=width, hidden=hidden, conventions=conventions)
    model.load_state_dict(state)
    return model.eval()


@pytest.fixture
def batch(recording: Recording) -> Batch:
    rgb = np.ascontiguousarray(recording["image_bgr_u8"][::-1])
    content = rgb.shape[1:]
    pixels = torch.zeros((1, 3, *recording["normalised_padded"].shape[-2:]), dtype=torch.uint8)
    pixels[0, :, : content[0], : content[1]] = torch.from_numpy(rgb)
    return Batch(("a",), pixels, (content,), (tuple(recording["out_size_hw"].tolist()),))


def close(ours: Tensor, recorded: np.ndarray, atol: float) -> None:
    torch.testing.assert_close(ours, torch.from_numpy(recorded), atol=atol, rtol=1e-5)


def background_last(logits: Tensor) -> Tensor:
    return torch.cat((logits[:, 1:], logits[:, :1]), 1)


@torch.inference_mode()
def test_stages_equal_the_recording(narrow, batch, recording) -> None:
    maps, heads = narrow.backbone(batch.pixels), narrow.roi_heads
    boxes = [torch.from_numpy(recording["proposals_xyxy"])]
    for number in range(3):
        close(boxes[0], recording[f"stage{number}_rois_xyxy"], 1e-3)
        logits, deltas = heads.stage(number, maps, boxes)
        close(background_last(logits), recording[f"stage{number}_cls_logits"], 1e-4)
        close(deltas, recording[f"stage{number}_box_deltas"], 1e-4)
        boxes = heads.refined(number, deltas, boxes, batch.content_sizes)


def test_detections_and_masks_equal_the_recording(narrow, batch, recording) -> None:
    (found,) = narrow.predict(batch, min_score=0.05, max_masks=len(recording["det_scores"]))
    assert found.labels.tolist() == recording["det_classes"].tolist()
    close(found.scores, recording["det_scores"], 1e-5)
    close(found.boxes, recording["det_boxes_xyxy"], 1e-3)
    close(found.fields[:, None], recording["mask_prob_selected"], 1e-4)

    size = batch.image_sizes[0]
    shape = recording["post_masks_shape"]
    masks = np.unpackbits(recording["post_masks"])[: np.prod(shape)].reshape(shape).astype(bool)
    made = segments(found, content_size=batch.content_sizes[0], image_size=size)
    kept = [mask for mask in masks if mask.any()]
    assert len(made) == len(kept)
    for segment, mask in zip(made, kept, strict=True):
        wrong = rle.decode(segment.rle, *size) ^ mask
        assert wrong.sum() <= 2  # pixels within rounding of the threshold


def targets_of(recorded: dict[str, Tensor]) -> list[Targets]:
    found = []
    for b in range(2):
        labels = recorded[f"gt{b}_classes"]
        crowd = torch.zeros(len(labels), dtype=torch.bool)
        boxes, masks = recorded[f"gt{b}_boxes_xyxy"], recorded[f"gt{b}_masks"]
        found.append(Targets(labels, boxes, masks, crowd))
    return found


def test_losses_of_all_stages_and_gradients_equal_the_recording(narrow, reference) -> None:
    arrays = read(reference, "train")
    recorded = {k: torch.from_numpy(v) for k, v in arrays.items() if v.dtype.kind != "U"}
    targets = targets_of(recorded)
    maps = [recorded[f"fpn_p{level}"].requires_grad_() for level in range(2, 6)]
    rois = [recorded[f"stage0_img{b}_rois_xyxy"] for b in range(2)]
    sampled = [matched_regions(r, t) for r, t in zip(rois, targets, strict=True)]
    contents = [tuple(recorded[f"gt{b}_masks"].shape[-2:]) for b in range(2)]
    background = len(narrow.info.categories)
    for b, regions in enumerate(sampled):
        wanted = recorded[f"stage0_img{b}_classes"]
        assert torch.equal(regions.labels, wanted.masked_fill(wanted == background, -1))
    losses = narrow.roi_heads.box_losses(maps, sampled, targets, contents)
    for number in range(3):
        for ours, theirs in (("class", "cls"), ("box", "box_reg")):
            expected = recorded[f"loss_{theirs}_stage{number}"]
            torch.testing.assert_close(losses[f"{ours}{number}"], expected, atol=1e-5, rtol=1e-5)
    narrow.zero_grad()
    sum(losses.values()).backward()
    close(maps[1].grad, arrays["grad_box/@fpn_p3"], 1e-6)
    close(maps[0].grad[0, :4], arrays["grad_box/@fpn_p2_img0_ch0to3"], 1e-6)
    parameters = dict(narrow.named_parameters())
    for number in range(3):
        head, predictor = f"roi_heads.box_head.{number}", f"roi_heads.box_predictor.{number}"
        close(parameters[f"{head}.fc7.bias"].grad, arrays[f"grad_box/{head}.fc2.bias"], 1e-6)
        bias = parameters[f"{predictor}.cls_score.bias"].grad[None]
        close(background_last(bias)[0], arrays[f"grad_box/{predictor}.cls_score.bias"], 1e-6)
        name = f"{predictor}.bbox_pred.weight"
        close(parameters[name].grad, arrays[f"grad_box/{name}"], 1e-6)


def test_mask_targets_and_loss_equal_the_recording(narrow, reference) -> None:
    arrays = read(reference, "train")
    recorded = {k: torch.from_numpy(v) for k, v in arrays.items() if v.dtype.kind != "U"}
    targets = targets_of(recorded)
    boxes = [recorded[f"pos{b}_boxes_xyxy"] for b in range(2)]
    drawn = [matched_regions(r, t) for r, t in zip(boxes, targets, strict=True)]
    goals = mask_targets(drawn, targets, 28, narrow.roi_heads.conventions)
    wanted = torch.cat([recorded[f"pos{b}_mask_target"] for b in range(2)]).float()
    assert torch.equal(goals, wanted)
    maps = [recorded[f"fpn_p{level}"] for level in range(2, 6)]
    loss = narrow.roi_heads.mask_losses(maps, drawn, targets)["mask"]
    torch.testing.assert_close(loss, recorded["loss_mask"], atol=1e-6, rtol=1e-5)


def test_the_published_checkpoint_loads() -> None:
    state, converted = assert_loads(FAMILY, "r50-fpn", "d2_cascade_mask_rcnn_R_50_FPN_3x")
    name = "roi_heads.box_predictor.2.cls_score.bias"
    assert converted[name][0] == state[name][-1], "the background comes first"
