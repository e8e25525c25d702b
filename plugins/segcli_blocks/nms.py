"""Non-maximum suppression of detections."""

from __future__ import annotations

from torch import Tensor
from torchvision.ops import nms

from segcli_blocks.boxes import iou as boxes_iou


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


def fast_nms(boxes: Tensor, iou: float) -> Tensor:
    """bool (C, k): which of C lists of k boxes (C, k, 4), each best first, stay.

    Fast NMS (Bolya et al. 2019, section 3.2): every box that overlaps a better one of its list by
    more than `iou` goes, even where the better one goes itself, so that one matrix decides.
    """
    return (boxes_iou(boxes, boxes).triu(diagonal=1) <= iou).all(1)


def matrix_nms(masks: Tensor, labels: Tensor, scores: Tensor, *, sigma: float | None) -> Tensor:
    """Scores (n,) decayed by overlap with better masks of the same label (Wang et al. 2020, eq. 5).

    `masks` bool (n, ...), best first. `sigma` is that of the Gaussian kernel
    exp(-sigma (iou^2 - most^2)), where `most` is the better mask's own largest overlap with a still
    better one; None: the linear kernel (1 - iou) / (1 - most).
    """
    decayed = scores.clone()
    flat = masks.flatten(1)
    for label in labels.unique():
        one = (labels == label).nonzero()[:, 0]  # only these can overlap: a small matrix each
        decayed[one] *= _decay(flat[one].to(scores.dtype), sigma)
    return decayed


def _decay(masks: Tensor, sigma: float | None) -> Tensor:
    """Factors (n,) of masks (n, P) of zeros and ones, best first."""
    shared = masks @ masks.T
    area = masks.sum(1)
    iou = (shared / (area[:, None] + area - shared)).triu(diagonal=1)
    most = iou.amax(0)[:, None]
    if sigma is None:
        return ((1 - iou) / (1 - most)).amin(0)
    return (-sigma * (iou.square() - most.square())).exp().amin(0)
