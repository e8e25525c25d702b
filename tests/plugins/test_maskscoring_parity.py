"""Mask Scoring R-CNN against recordings of the authors' code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from kit.parity import recorded_file, tensors, weights, within
from kit.two_stage import batch_of, recorded_heads
from published import assert_loads, published_state
from torch import Tensor

from segcli.errors import UsageError
from segcli.masks import rle
from segcli.masks.sampling import segments
from segcli.types import Batch, Targets
from segcli_blocks.rcnn.conventions import BENCHMARK
from segcli_blocks.rcnn.losses import mask_loss, mask_targets
from segcli_blocks.rcnn.roi_pool import Pooler
from segcli_blocks.rcnn.rpn import flatten
from segcli_blocks.rcnn.sampler import Regions
from segcli_blocks.rcnn.two_stage import TwoStage
from segcli_maskscoring import FAMILY
from segcli_maskscoring.convert import renamed
from segcli_maskscoring.heads import MaskIoU
from segcli_maskscoring.losses import maskiou_loss
from segcli_maskscoring.targets import covered, maskiou_targets
from segcli_maskscoring.variants import assemble

SIZES, PER_LEVEL = (16, 32, 48, 64, 96), 200  # by the recording's README
Recording = dict[str, Tensor]


@pytest.fixture(scope="module")
def recording(reference: Path) -> Recording:
    return tensors(reference / "maskscoring/infer.npz")


@pytest.fixture(scope="module")
def targets(reference: Path) -> Recording:
    return tensors(reference / "maskscoring/targets.npz")


@pytest.fixture(scope="module")
def narrow(reference: Path, recording: Recording) -> TwoStage:
    """The heads of the recording, at its width."""
    state = renamed(weights(reference / "maskscoring/state_dict.safetensors"))
    return recorded_heads(assemble, recording, state, BENCHMARK, sizes=SIZES, per_level=PER_LEVEL)


@pytest.fixture
def batch(recording: Recording) -> Batch:
    width, height = recording["orig_size_wh"].tolist()
    content = tuple(recording["image_size_hw"].tolist())
    return batch_of(content, tuple(recording["image"].shape[-2:]), (height, width))


@torch.inference_mode()
def test_first_stage_equals_the_recording(narrow, batch, recording) -> None:
    _, scored = narrow.first_stage(batch)
    both = zip(scored.logits, scored.deltas, strict=True)
    for level, (logit, delta) in enumerate(both, start=2):
        logits = recording[f"rpn_objectness_p{level}"]
        deltas = recording[f"rpn_bbox_p{level}"]
        torch.testing.assert_close(logit, flatten([logits], 1)[0], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(delta, flatten([deltas], 4)[0], atol=1e-4, rtol=1e-5)
    proposals = narrow.rpn.propose(scored, batch.content_sizes)[0]
    within(proposals, recording["proposals_xyxy"], 1e-3)


@torch.inference_mode()
def test_box_head_equals_the_recording(narrow, batch, recording) -> None:
    maps = narrow.backbone(batch.pixels)
    proposals = recording["proposals_xyxy"]
    logits, deltas = narrow.roi_heads.classify(maps, [proposals])
    within(logits, recording["cls_logits"], 1e-4)
    within(deltas, recording["box_deltas"], 1e-4)


@torch.inference_mode()
def test_mask_and_maskiou_heads_equal_the_recording(narrow, batch, recording) -> None:
    maps, heads = narrow.backbone(batch.pixels), narrow.roi_heads
    boxes = recording["det_boxes_xyxy"]
    features = heads.mask_features(maps, [boxes])
    within(features, recording["mask_roi_feature"], 1e-4)
    of = recording["det_labels"]
    masks = heads.mask_logits(features, of).sigmoid()
    within(masks[:, None], recording["mask_prob_selected"], 1e-5)
    within(heads.maskiou(features, masks), recording["maskiou_pred"], 1e-5)
    within(heads.fit(features, masks, of), recording["maskiou_selected"], 1e-5)


def test_detections_scores_and_masks_equal_the_recording(narrow, batch, recording) -> None:
    count = len(recording["det_scores"])
    (found,) = narrow.predict(batch, min_score=0.05, max_masks=count)
    order = recording["det_scores"].argsort(descending=True)
    assert (found.labels + 1).tolist() == recording["det_labels"][order].tolist()
    within(found.scores, recording["det_scores"][order], 1e-5)
    last = torch.tensor([0, 0, 1, 1])  # the recorded boxes include their last px
    within(found.boxes, recording["det_boxes_xyxy"][order] + last, 1e-3)
    within(found.mask_scores, recording["mask_scores"][order].clamp(0, 1), 1e-5)

    size = batch.image_sizes[0]
    masks = recording["orig_pasted_masks"][order].bool().numpy()
    by_score = found.scores.argsort(descending=True).tolist()
    kept = [i for i in by_score if masks[i].any()]
    made = segments(found, content_size=batch.content_sizes[0], image_size=size)
    assert len(made) == len(kept)
    for segment, index in zip(made, kept, strict=True):
        assert segment.score == found.scores[index]
        assert segment.mask_score == found.mask_scores[index]
        wrong = rle.decode(segment.rle, *size) ^ masks[index]
        assert wrong.sum() <= 2  # pixels within rounding of the threshold


def test_levels_of_regions_equal_the_recording(reference) -> None:
    pooled = tensors(reference / "maskscoring/pooler.npz")
    pooler = Pooler(7, BENCHMARK)
    assert pooler.levels(pooled["boxes_xyxy"], 4).tolist() == pooled["level_index"].tolist()


def test_pooled_regions_equal_the_recording(reference) -> None:
    pooled = tensors(recorded_file(reference / "maskscoring/pooler.npz"))
    if "fpn_p2" not in pooled:
        pytest.skip("the maps are only in the full recordings: set SEGCLI_REFERENCE")
    maps = [pooled[f"fpn_p{level}"] for level in range(2, 6)]
    boxes = pooled["boxes_xyxy"]
    for size in (7, 14):
        within(Pooler(size, BENCHMARK)(maps, [boxes]), pooled[f"roi_{size}"], 1e-5)


def test_head_of_the_real_width_equals_the_recording(reference) -> None:
    recorded = dict(np.load(recorded_file(reference / "maskscoring/fullwidth.npz")))
    random = np.random.RandomState(int(recorded["seed"]))
    state = {}
    for name, text in zip(recorded["keys"].tolist(), recorded["shapes"].tolist(), strict=True):
        shape = [int(n) for n in text.strip("()").replace("x", ",").split(",") if n.strip()]
        values = random.standard_normal(shape).astype(np.float32)
        gain = np.sqrt(2 / np.prod(shape[1:])).astype(np.float32) if len(shape) > 1 else 0.1
        part = "predictor" if name.startswith("maskiou.") else "feature_extractor"
        state[f"roi_heads.maskiou.{part}.{name}"] = torch.from_numpy(
            (values * np.float32(gain)).astype(np.float32)
        )
    features = random.standard_normal((3, 256, 14, 14)).astype(np.float32)
    np.testing.assert_allclose(features.flatten()[:8], recorded["x_first8"])
    positions = recorded["maskiou_pred"].shape[1]
    head = MaskIoU(256, recorded["fc2_out"].shape[1], positions)
    ours = {k.removeprefix("roi_heads.maskiou."): v for k, v in renamed(state).items()}
    head.load_state_dict(ours)
    with torch.no_grad():
        found = head(torch.from_numpy(features), torch.from_numpy(recorded["mask"])[:, 0])
    within(found, torch.from_numpy(recorded["maskiou_pred"]), 1e-4)


def test_targets_equal_the_recording(targets) -> None:
    logits, goals = targets["selected_mask_prob"][:, 0].logit(), targets["mask_targets"].float()
    wanted = maskiou_targets(logits, goals, targets["mask_ratio"])
    within(wanted, targets["maskiou_targets"], 1e-6)


def test_targets_of_bitmaps_are_near_those_of_polygons(targets) -> None:
    """The authors draw polygons into each box, and once more at the size of the image; here both
    are cut out of one bitmap."""
    height, width = targets["image_size_hw"].tolist()
    labels, match = targets["gt_labels"] - 1, targets["matched_gt"]
    bitmaps = []
    for instance in range(len(labels)):
        parts = [v.tolist() for k, v in targets.items() if k.startswith(f"gt_poly_{instance}_")]
        bitmaps.append(rle.decode(rle.from_polygons(parts, height, width), height, width))
    truth = Targets(
        labels, targets["gt_boxes_xyxy"], torch.from_numpy(np.stack(bitmaps)),
        torch.zeros(len(labels), dtype=torch.bool),
    )  # fmt: skip
    boxes = targets["proposals_xyxy"]
    every = torch.ones(len(boxes), dtype=torch.bool)
    regions = Regions(boxes, targets["matched_labels"] - 1, match, truth.boxes[match], every, None)
    goals = mask_targets([regions], [truth], targets["mask_targets"].shape[-1], BENCHMARK)
    wrong = (goals != targets["mask_targets"]).float().mean((1, 2))
    assert wrong.mean() < 0.02  # of the cells; 0.038 if the masks were shifted by half a px
    assert wrong.max() < 0.05
    share = covered([regions], [truth])
    within(share, targets["mask_ratio"], 0.07)
    wanted = maskiou_targets(targets["selected_mask_prob"][:, 0].logit(), goals, share)
    assert (wanted - targets["maskiou_targets"]).abs().mean() < 0.015
    within(wanted, targets["maskiou_targets"], 0.05)


def test_losses_and_gradients_equal_the_recording(targets) -> None:
    if "mask_logits" not in targets:
        pytest.skip("the logits are only in the full recordings: set SEGCLI_REFERENCE")
    labels = targets["matched_labels"]
    each = torch.arange(len(labels))
    logits = targets["mask_logits"].clone().requires_grad_()
    goals = targets["mask_targets"].float()
    wanted = maskiou_targets(logits[each, labels], goals, targets["mask_ratio"])
    within(wanted, targets["maskiou_targets"], 1e-6)
    fit = targets["pred_maskiou"].clone().requires_grad_()
    mask = mask_loss(logits[each, labels], goals)
    iou = maskiou_loss(fit[each, labels], wanted)
    within(mask, targets["loss_mask"], 1e-6)
    within(iou, targets["loss_maskiou"], 1e-6)
    (mask + iou).backward()
    within(logits.grad, targets["grad/mask_logits"], 1e-7)
    within(fit.grad, targets["grad/pred_maskiou"], 1e-7)


@pytest.mark.parametrize(
    ("variant", "name"), [("r50-fpn", "ms_R_50_FPN"), ("r101-fpn", "ms_R_101_FPN")]
)
def test_published_checkpoints_load(variant: str, name: str) -> None:
    state, converted = assert_loads(FAMILY, variant, name)
    first = state["backbone.body.stem.conv1.weight"]
    assert torch.equal(converted["backbone.body.conv1.weight"], first.flip(1))


def test_plain_mask_rcnn_is_refused() -> None:
    state = {k: v for k, v in published_state("ms_R_50_FPN").items() if ".maskiou." not in k}
    with pytest.raises(UsageError, match=r"expected roi_heads\.maskiou\.convolutions\.0\.bias"):
        FAMILY.convert(state, FAMILY.variants["r50-fpn"])
