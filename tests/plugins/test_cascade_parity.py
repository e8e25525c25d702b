"""Cascade Mask R-CNN against recordings of detectron2."""

from pathlib import Path

import pytest
import torch
from kit.parity import tensors, unpacked, weights, within
from kit.two_stage import batch_of, recorded_heads
from published import assert_loads
from torch import Tensor

from segcli.masks import rle
from segcli.masks.sampling import segments
from segcli.types import Batch, Targets
from segcli_blocks.rcnn.losses import mask_targets
from segcli_blocks.rcnn.sampler import Regions, matched_regions
from segcli_blocks.rcnn.two_stage import TwoStage
from segcli_cascade import FAMILY
from segcli_cascade.convert import renamed
from segcli_cascade.model import LEAST, CascadeHeads
from segcli_cascade.targets import stage_targets
from segcli_cascade.variants import CONVENTIONS, assemble

SIZES, PER_LEVEL = (16, 32, 64, 128, 176), 14  # by the recording's README
Recording = dict[str, Tensor]


@pytest.fixture(scope="module")
def recording(reference: Path) -> Recording:
    return tensors(reference / "cascade/infer.npz")


@pytest.fixture(scope="module")
def trained(reference: Path) -> Recording:
    return tensors(reference / "cascade/train.npz")


@pytest.fixture(scope="module")
def narrow(reference: Path, recording: Recording) -> TwoStage:
    """The heads of the recording, at its width."""
    state = renamed(weights(reference / "cascade/state_dict.safetensors"))
    return recorded_heads(assemble, recording, state, CONVENTIONS, sizes=SIZES, per_level=PER_LEVEL)


@pytest.fixture
def batch(recording: Recording) -> Batch:
    rgb = recording["image_bgr_u8"].flip(0)
    canvas = tuple(recording["normalised_padded"].shape[-2:])
    original = tuple(recording["out_size_hw"].tolist())
    return batch_of(tuple(rgb.shape[1:]), canvas, original, rgb)


def background_last(logits: Tensor) -> Tensor:
    return torch.cat((logits[:, 1:], logits[:, :1]), 1)


@torch.inference_mode()
def test_stages_equal_the_recording(narrow, batch, recording) -> None:
    maps, heads = narrow.backbone(batch.pixels), narrow.roi_heads
    for number in range(3):
        boxes = [recording[f"stage{number}_rois_xyxy"]]
        logits, deltas = heads.stage(number, maps, boxes)
        within(background_last(logits), recording[f"stage{number}_cls_logits"], 1e-4)
        within(deltas, recording[f"stage{number}_box_deltas"], 1e-4)


def test_boxes_of_all_stages_equal_the_recording(recording) -> None:
    heads = CascadeHeads(1, width=1, hidden=1, conventions=CONVENTIONS)  # its weights do not matter
    content = tuple(recording["image_bgr_u8"].shape[1:])
    boxes = [recording["proposals_xyxy"]]
    for number in range(3):
        within(boxes[0], recording[f"stage{number}_rois_xyxy"], 1e-3)
        boxes = heads.refined(number, recording[f"stage{number}_box_deltas"], boxes, [content])


def test_detections_and_masks_equal_the_recording(narrow, batch, recording) -> None:
    (found,) = narrow.predict(batch, min_score=0.05, max_masks=len(recording["det_scores"]))
    assert found.labels.tolist() == recording["det_classes"].tolist()
    within(found.scores, recording["det_scores"], 1e-5)
    within(found.boxes, recording["det_boxes_xyxy"], 1e-3)
    within(found.fields[:, None], recording["mask_prob_selected"], 1e-4)

    size = batch.image_sizes[0]
    masks = unpacked(recording, "post_masks")
    made = segments(found, content_size=batch.content_sizes[0], image_size=size)
    kept = [mask for mask in masks if mask.any()]
    assert len(made) == len(kept)
    for segment, mask in zip(made, kept, strict=True):
        wrong = rle.decode(segment.rle, *size) ^ mask.numpy()
        assert wrong.sum() <= 2  # pixels within rounding of the threshold


def targets_of(recorded: Recording) -> list[Targets]:
    found = []
    for b in range(2):
        labels = recorded[f"gt{b}_classes"]
        crowd = torch.zeros(len(labels), dtype=torch.bool)
        boxes, masks = recorded[f"gt{b}_boxes_xyxy"], recorded[f"gt{b}_masks"]
        found.append(Targets(labels, boxes, masks, crowd))
    return found


def test_targets_of_all_stages_equal_the_recording(trained) -> None:
    for number, least in enumerate(LEAST):
        for b, target in enumerate(targets_of(trained)):
            boxes = trained[f"stage{number}_img{b}_rois_xyxy"]
            regions = stage_targets(boxes, target, least)
            wanted = trained[f"stage{number}_img{b}_classes"]
            background = trained[f"stage{number}_img{b}_gt_index"] < 0
            assert torch.equal(regions.labels, wanted.masked_fill(background, -1))


def test_losses_of_all_stages_and_gradients_equal_the_recording(narrow, trained) -> None:
    targets = targets_of(trained)
    maps = [trained[f"fpn_p{level}"].clone().requires_grad_() for level in range(2, 6)]
    rois = [trained[f"stage0_img{b}_rois_xyxy"] for b in range(2)]
    sampled = [matched_regions(r, t) for r, t in zip(rois, targets, strict=True)]
    contents = [tuple(trained[f"gt{b}_masks"].shape[-2:]) for b in range(2)]
    losses = narrow.roi_heads.box_losses(maps, sampled, targets, contents)
    for number in range(3):
        for ours, theirs in (("class", "cls"), ("box", "box_reg")):
            expected = trained[f"loss_{theirs}_stage{number}"]
            torch.testing.assert_close(losses[f"{ours}{number}"], expected, atol=1e-5, rtol=1e-5)
    narrow.zero_grad()
    sum(losses.values()).backward()
    within(maps[1].grad, trained["grad_box/@fpn_p3"], 1e-6)
    within(maps[0].grad[0, :4], trained["grad_box/@fpn_p2_img0_ch0to3"], 1e-6)
    parameters = dict(narrow.named_parameters())
    for number in range(3):
        head, predictor = f"roi_heads.box_head.{number}", f"roi_heads.box_predictor.{number}"
        within(parameters[f"{head}.fc7.bias"].grad, trained[f"grad_box/{head}.fc2.bias"], 1e-6)
        bias = parameters[f"{predictor}.cls_score.bias"].grad[None]
        within(background_last(bias)[0], trained[f"grad_box/{predictor}.cls_score.bias"], 1e-6)
        name = f"{predictor}.bbox_pred.weight"
        within(parameters[name].grad, trained[f"grad_box/{name}"], 1e-6)


def drawn_of(recorded: Recording) -> list[Regions]:
    boxes = [recorded[f"pos{b}_boxes_xyxy"] for b in range(2)]
    return [matched_regions(r, t) for r, t in zip(boxes, targets_of(recorded), strict=True)]


def test_mask_targets_equal_the_recording(trained) -> None:
    wanted = torch.cat([trained[f"pos{b}_mask_target"] for b in range(2)]).float()
    goals = mask_targets(drawn_of(trained), targets_of(trained), wanted.shape[-1], CONVENTIONS)
    assert torch.equal(goals, wanted)


def test_the_mask_loss_equals_the_recording(narrow, trained) -> None:
    drawn, targets = drawn_of(trained), targets_of(trained)
    maps = [trained[f"fpn_p{level}"] for level in range(2, 6)]
    loss = narrow.roi_heads.mask_losses(maps, drawn, targets)["mask"]
    torch.testing.assert_close(loss, trained["loss_mask"], atol=1e-6, rtol=1e-5)


def test_the_published_checkpoint_loads() -> None:
    state, converted = assert_loads(FAMILY, "r50-fpn", "d2_cascade_mask_rcnn_R_50_FPN_3x")
    name = "roi_heads.box_predictor.2.cls_score.bias"
    assert converted[name][0] == state[name][-1], "the background comes first"
