"""Which of overlapping detections stay."""

from __future__ import annotations

from torch import Tensor
from torchvision.ops import nms


def class_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> Tensor:
    """Indices of what stays, best first; a box suppresses those of its label above `iou`.

    Classes are set apart by an offset, in float64: in float32 the offset of a high label would
    round small boxes to other overlaps.
    """
    if not len(boxes):
        return labels.new_zeros(0)
    apart = boxes.double()
    span = apart.max() - apart.min() + 2
    kept: Tensor = nms(apart + (labels * span)[:, None], scores.double(), iou)
    return kept
