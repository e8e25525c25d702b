"""The box head: class and box of each region, and the detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import batched_nms

from segcli.types import Size
from segcli_blocks.rcnn import whole_batch
from segcli_blocks.rcnn.box_coder import clip, decode, whole
from segcli_blocks.rcnn.conventions import BOX_WEIGHTS, Conventions
from segcli_blocks.segmenter import Selection, keep_categories

_IOU = 0.5  # above which a detection suppresses another of its class


@dataclass(frozen=True, slots=True)
class Detections:
    """Of one image, best first: `boxes` (n, 4) canvas px, `scores` and `labels` (n,)."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def agnostic_box_predictor(inputs: int, classes: int) -> FastRCNNPredictor:
    """Class logits for `classes` positions and a single box for all of them."""
    predictor = FastRCNNPredictor(inputs, classes)
    predictor.bbox_pred = nn.Linear(inputs, 4)
    return predictor


def detect_all(
    scores: Tensor,
    deltas: Tensor,
    regions: Sequence[Tensor],
    contents: Sequence[Size],
    *,
    positions: Tensor | None,
    conventions: Conventions,
    selection: Selection,
    weights: tuple[float, float, float, float] = BOX_WEIGHTS,
) -> list[Detections]:
    """`detect` for each image, of probabilities and deltas of the regions (n_b, 4) of all."""
    if whole_batch.pays(scores):
        found = whole_batch.detect(
            scores, deltas, regions, contents, positions=positions, conventions=conventions,
            selection=selection, weights=weights, iou=_IOU,
        )  # fmt: skip
        return [Detections(*one) for one in found]
    counts = [len(own) for own in regions]
    each = zip(scores.split(counts), deltas.split(counts), regions, contents, strict=True)
    return [
        detect(
            *image, positions=positions, conventions=conventions, selection=selection,
            weights=weights,
        )
        for image in each
    ]  # fmt: skip


def detect(
    scores: Tensor,
    deltas: Tensor,
    regions: Tensor,
    content: Size,
    *,
    positions: Tensor | None,
    conventions: Conventions,
    selection: Selection,
    weights: tuple[float, float, float, float] = BOX_WEIGHTS,
) -> Detections:
    """One image: probabilities (P, C) of regions (P, 4), and deltas (P, K * 4) with the place of
    each category in `positions` (C,); None: deltas (P, 4) serve every category."""
    scores = keep_categories(scores, selection.categories)
    region, label = (scores > selection.min_score).nonzero(as_tuple=True)
    score = scores[region, label]
    # Decode only what survives the score: of P * C boxes a few hundred at most are left.
    picked = deltas[region].unflatten(1, (-1, 4))
    position = torch.zeros_like(label) if positions is None else positions[label]
    picked = picked[torch.arange(len(label), device=label.device), position]
    inclusive = conventions.inclusive
    box = decode(picked, regions[region], weights, inclusive=inclusive)[:, 0]
    box = clip(box, content, inclusive=inclusive)
    ends = whole(box, inclusive=inclusive)
    large = (ends[:, 2:] - ends[:, :2]).amin(1) >= conventions.smallest_detection
    box, ends, score, label = box[large], ends[large], score[large], label[large]
    keep = batched_nms(ends, score, label, _IOU)[: selection.max_masks]
    return Detections(box[keep], score[keep], label[keep])
