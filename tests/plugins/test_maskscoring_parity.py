"""Mask Scoring R-CNN against recordings of the authors' code."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from published import assert_loads, published_state
from safetensors.torch import load_file
from torch import Tensor, nn

from segcli.errors import UsageError
from segcli.masks import rle
from segcli.masks.sampling import segments
from segcli.types import Batch, ModelInfo, Resize
from segcli_blocks.rcnn.conventions import BENCHMARK
from segcli_blocks.rcnn.losses import mask_loss
from segcli_blocks.rcnn.roi_pool import Pooler
from segcli_blocks.rcnn.rpn import flatten
from segcli_blocks.rcnn.two_stage import TwoStage
from segcli_maskscoring import FAMILY
from segcli_maskscoring.convert import renamed
from segcli_maskscoring.heads import MaskIoU
from segcli_maskscoring.losses import maskiou_loss
from segcli_maskscoring.targets import maskiou_targets
from segcli_maskscoring.variants import assemble

PER_LEVEL = 200  # proposals of a level before suppression, by the recording's README
Recording = dict[str, np.ndarray]


class RecordedMaps(nn.Module):
    """A backbone that returns recorded maps, level 2 first."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.maps = [torch.from_numpy(recording[f"fpn_p{level}"]) for level in range(2, 7)]

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.maps


def read(reference: Path, name: str) -> Recording:
    path = reference / f"maskscoring/{name}.npz"
    if not path.is_file():
        pytest.skip("no recording of Mask Scoring R-CNN here")
    return dict(np.load(path))


@pytest.fixture(scope="module")
def recording(reference: Path) -> Recording:
    return read(reference, "infer")


@pytest.fixture(scope="module")
def narrow(reference: Path, recording: Recording) -> TwoStage:
    """The heads of the recording, at its width, behind its recorded pyramid maps."""
    state = renamed(load_file(reference / "maskscoring/state_dict.safetensors"))
    state = {k: v for k, v in state.items() if not k.startswith("backbone.")}
    positions, hidden = state["roi_heads.box_predictor.cls_score.weight"].shape
    names = tuple(f"c{i}" for i in range(1, positions))
    info = ModelInfo("maskscoring", "toy", names, tuple(range(1, positions)), Resize(1, 1), 32)
    kept = len(recording["proposals_xyxy"])
    conventions = replace(
        BENCHMARK,
        anchor_sizes=(16, 32, 48, 64, 96),  # by the recording's README
        per_level=(PER_LEVEL, PER_LEVEL),
        proposals=(kept, kept),
    )
    width = state["rpn.head.cls_logits.weight"].shape[1]
    maps = RecordedMaps(recording)
    model = assemble(info, maps, width=width, hidden=hidden, conventions=conventions)
    model.load_state_dict(state)
    return model.eval()


@pytest.fixture
def batch(recording: Recording) -> Batch:
    content = tuple(recording["image_size_hw"].tolist())
    pixels = torch.zeros((1, 3, *recording["image"].shape[-2:]), dtype=torch.uint8)
    width, height = recording["orig_size_wh"].tolist()
    return Batch(("a",), pixels, (content,), ((height, width),))


def close(ours: Tensor, recorded: np.ndarray, atol: float) -> None:
    torch.testing.assert_close(ours, torch.from_numpy(recorded), atol=atol, rtol=1e-5)


@torch.inference_mode()
def test_first_stage_equals_the_recording(narrow, batch, recording) -> None:
    _, scored = narrow.first_stage(batch)
    both = zip(scored.logits, scored.deltas, strict=True)
    for level, (logit, delta) in enumerate(both, start=2):
        logits = torch.from_numpy(recording[f"rpn_objectness_p{level}"])
        deltas = torch.from_numpy(recording[f"rpn_bbox_p{level}"])
        torch.testing.assert_close(logit, flatten([logits], 1)[0], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(delta, flatten([deltas], 4)[0], atol=1e-4, rtol=1e-5)
    proposals = narrow.rpn.propose(scored, batch.content_sizes)[0]
    close(proposals, recording["proposals_xyxy"], 1e-3)


@torch.inference_mode()
def test_box_head_equals_the_recording(narrow, batch, recording) -> None:
    maps = narrow.backbone(batch.pixels)
    proposals = torch.from_numpy(recording["proposals_xyxy"])
    logits, deltas = narrow.roi_heads.classify(maps, [proposals])
    close(logits, recording["cls_logits"], 1e-4)
    close(deltas, recording["box_deltas"], 1e-4)


@torch.inference_mode()
def test_mask_and_maskiou_heads_equal_the_recording(narrow, batch, recording) -> None:
    maps, heads = narrow.backbone(batch.pixels), narrow.roi_heads
    boxes = torch.from_numpy(recording["det_boxes_xyxy"])
    features = heads.mask_features(maps, [boxes])
    close(features, recording["mask_roi_feature"], 1e-4)
    of = torch.from_numpy(recording["det_labels"])
    masks = heads.mask_logits(features, of).sigmoid()
    close(masks[:, None], recording["mask_prob_selected"], 1e-5)
    close(heads.maskiou(features, masks), recording["maskiou_pred"], 1e-5)
    close(heads.fit(features, masks, of), recording["maskiou_selected"], 1e-5)


def test_detections_scores_and_masks_equal_the_recording(narrow, batch, recording) -> None:
    count = len(recording["det_scores"])
    (found,) = narrow.predict(batch, min_score=0.05, max_masks=count)
    order = torch.from_numpy(recording["det_scores"]).argsort(descending=True).numpy()
    assert (found.labels + 1).tolist() == recording["det_labels"][order].tolist()
    close(found.scores, recording["det_scores"][order], 1e-5)
    last = np.array([0, 0, 1, 1], dtype=np.float32)  # the recorded boxes include their last px
    close(found.boxes, recording["det_boxes_xyxy"][order] + last, 1e-3)
    close(found.mask_scores, recording["mask_scores"][order].clip(0, 1), 1e-5)

    size = batch.image_sizes[0]
    masks = recording["orig_pasted_masks"][order].astype(bool)
    by_score = found.mask_scores.argsort(descending=True).tolist()
    kept = [i for i in by_score if masks[i].any()]
    made = segments(found, content_size=batch.content_sizes[0], image_size=size)
    assert len(made) == len(kept)
    for segment, index in zip(made, kept, strict=True):
        wrong = rle.decode(segment.rle, *size) ^ masks[index]
        assert wrong.sum() <= 2  # pixels within rounding of the threshold


def test_levels_of_regions_equal_the_recording(reference) -> None:
    pooled = read(reference, "pooler")
    maps = [torch.from_numpy(pooled[f"fpn_p{level}"]) for level in range(2, 6)]
    boxes = torch.from_numpy(pooled["boxes_xyxy"])
    assert Pooler(7, BENCHMARK).levels(boxes, 4).tolist() == pooled["level_index"].tolist()
    for size in (7, 14):
        close(Pooler(size, BENCHMARK)(maps, [boxes]), pooled[f"roi_{size}"], 1e-5)


def test_head_of_the_real_width_equals_the_recording(reference) -> None:
    recorded = read(reference, "fullwidth")
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
    close(found, recorded["maskiou_pred"], 1e-4)


def test_targets_losses_and_gradients_equal_the_recording(reference) -> None:
    recorded = {k: torch.from_numpy(v) for k, v in read(reference, "targets").items()}
    labels = recorded["matched_labels"]
    each = torch.arange(len(labels))
    logits = recorded["mask_logits"].requires_grad_()
    goals = recorded["mask_targets"].float()
    wanted = maskiou_targets(logits[each, labels], goals, recorded["mask_ratio"])
    torch.testing.assert_close(wanted, recorded["maskiou_targets"], atol=1e-6, rtol=1e-6)
    fit = recorded["pred_maskiou"].requires_grad_()
    mask = mask_loss(logits[each, labels], goals)
    iou = maskiou_loss(fit[each, labels], wanted)
    torch.testing.assert_close(mask, recorded["loss_mask"], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(iou, recorded["loss_maskiou"], atol=1e-6, rtol=1e-6)
    (mask + iou).backward()
    torch.testing.assert_close(logits.grad, recorded["grad/mask_logits"], atol=1e-7, rtol=1e-5)
    torch.testing.assert_close(fit.grad, recorded["grad/pred_maskiou"], atol=1e-7, rtol=1e-5)


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
