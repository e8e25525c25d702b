"""YOLACT's losses: boxes, classes, masks, semantics, and for YOLACT++ the rescoring.

Letters as in model.py; T targets of an image. Boxes are xyxy relative to the canvas, 0..1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from segcli.types import Size
from segcli_blocks.soft_masks import dynamic_conv
from segcli_yolact.heads import encode
from segcli_yolact.masks import cropped
from segcli_yolact.targets import Learning, Truth, match

if TYPE_CHECKING:
    from segcli_yolact.model import Raw

Fit = Callable[[Tensor, Tensor], Tensor]


def losses(
    raw: Raw, truths: Sequence[Truth], options: Learning, *, fit: Fit | None
) -> dict[str, Tensor]:
    """Section 3 of the paper; `fit` is YOLACT++'s rescoring, see model.YOLACT.fit."""
    matches = [match(raw.priors, truth, options) for truth in truths]
    box = class_ = mask = rescore = raw.boxes.new_zeros(())
    for b, (truth, found) in enumerate(zip(truths, matches, strict=True)):
        positive = found.classes > 0
        wanted = truth.boxes[found.target[positive]] if len(truth.boxes) else truth.boxes
        goal = encode(wanted, raw.priors[positive])
        box = box + F.smooth_l1_loss(raw.boxes[b, positive], goal, reduction="sum")
        class_ = class_ + class_loss(raw.logits[b], found.classes, truth, options)
        given = raw.coefficients[b, positive]
        image = mask_losses(raw.prototypes[b], given, truth, found.target[positive], options, fit)
        mask, rescore = mask + image[0], rescore + image[1]
    total = torch.stack([m.classes > 0 for m in matches]).sum().clamp(min=1)
    weights = options.weights
    # Coefficients and prototypes get a gradient, of zero, without any object too.
    nothing = 0 * (raw.coefficients.sum() + raw.prototypes.sum())
    named = {
        "box": weights[0] * box / total,
        "class": class_ / total,
        "mask": weights[1] * mask / total + nothing,
        "semantic": semantic_loss(raw.semantic, truths),
    }
    if fit is not None:
        named["rescore"] = weights[2] * rescore / total
    return named


def class_loss(logits: Tensor, classes: Tensor, truth: Truth, options: Learning) -> Tensor:
    """Softmax cross-entropy of one image (P, C + 1), over its objects and the hardest background.

    Background is contrasted with the exhaustively annotated categories alone.
    """
    unknown = torch.cat((truth.annotated.new_zeros(1), ~truth.annotated))
    known = logits.masked_fill(unknown, -torch.inf)
    error = known.logsumexp(1) - logits[:, 0]
    positive = classes > 0
    hardness = error.detach().masked_fill(classes != 0, 0)
    count = min(options.negatives * int(positive.sum()), len(classes) - 1)
    hardest = hardness.argsort(descending=True, stable=True)[:count]
    hardest = hardest[classes[hardest] == 0]
    objects = F.cross_entropy(logits[positive], classes[positive], reduction="sum")
    return objects + error[hardest].sum()


def mask_losses(
    prototypes: Tensor,
    coefficients: Tensor,
    truth: Truth,
    target: Tensor,
    options: Learning,
    fit: Fit | None,
) -> tuple[Tensor, Tensor]:
    """Of one image, with prototypes (k, h, w), coefficients (n, k) and targets (n,) of priors:
    binary cross-entropy over the mask, per area of its box, and how wrong `fit` is; summed."""
    nothing = prototypes.new_zeros(())
    n = len(target)
    if not n:
        return nothing, nothing
    share = 1.0
    if n > options.most_masks:
        chosen = torch.randperm(n, device=target.device)[: options.most_masks]
        coefficients, target, share = coefficients[chosen], target[chosen], n / len(chosen)
    h, w = prototypes.shape[-2:]
    boxes = truth.boxes[target]
    wanted = resized(truth.masks, (h, w))[target]
    soft = cropped(dynamic_conv(coefficients, prototypes), boxes)
    with torch.autocast(soft.device.type, enabled=False):
        pixels = F.binary_cross_entropy(soft.clamp(0, 1), wanted, reduction="none").sum((1, 2))
    area = (boxes[:, 2] - boxes[:, 0]) * w * (boxes[:, 3] - boxes[:, 1]) * h
    mask = (pixels / area).sum() * share
    if fit is None:
        return mask, nothing
    large = wanted.sum((1, 2)) > options.least_area
    if not bool(large.any()):
        return mask, nothing
    soft, wanted = soft[large], wanted[large]
    goal = mask_iou((soft.detach() > 0.5).float(), wanted)
    given = fit(soft, truth.labels[target[large]])
    return mask, F.smooth_l1_loss(given, goal, reduction="sum")


def mask_iou(one: Tensor, other: Tensor) -> Tensor:
    """Of masks (n, h, w) of zeros and ones, pairwise: (n,)."""
    shared = (one * other).sum((1, 2))
    return shared / (one.sum((1, 2)) + other.sum((1, 2)) - shared)


def resized(masks: Tensor, size: Size) -> Tensor:
    """bool (T, H, W) -> float (T, *size) of zeros and ones."""
    found = F.interpolate(masks[None].float(), size, mode="bilinear")[0]
    return (found > 0.5).float()


def semantic_loss(logits: Tensor | None, truths: Sequence[Truth]) -> Tensor:
    """Which categories are where, (B, C, y, x), in binary cross-entropy; helps training only."""
    assert logits is not None
    h, w = logits.shape[-2:]
    total = logits.new_zeros(())
    for given, truth in zip(logits, truths, strict=True):
        wanted = torch.zeros_like(given)
        if len(truth.labels):
            for label, mask in zip(truth.labels, resized(truth.masks, (h, w)), strict=True):
                wanted[label] = torch.maximum(wanted[label], mask)
        error = F.binary_cross_entropy_with_logits(given, wanted, reduction="none")
        error = error * (truth.annotated[:, None, None] | (wanted > 0))
        total = total + error.sum()
    return total / (h * w) / len(truths)
