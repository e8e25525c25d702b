"""EoMT's losses, which are Mask2Former's: categories or none, and masks at points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segcli_blocks.set_prediction import at_points, mask_losses, uncertain_points
from segcli_eomt.targets import Truth, in_crowd, match

CLASS, ENTROPY, DICE = 2.0, 5.0, 5.0  # the authors' weights
NONE = 0.1  # weight of a query that learns to find nothing


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer says of a batch: `classes` (B, Q, C + 1), the last for none, and `masks`
    (B, Q, h, w), logits."""

    classes: Tensor
    masks: Tensor


Pairs = tuple[Tensor, Tensor]  # queries and targets i64 (T,) of an image


def losses_of(
    layers: Sequence[Layer], truths: Sequence[Truth], *, points: int
) -> dict[str, Tensor]:
    """The weighted losses, each summed over the layers."""
    sums: dict[str, Tensor] = {}
    for layer in layers:
        pairs = [
            match(classes.float(), masks.float(), truth, points)
            for classes, masks, truth in zip(layer.classes, layer.masks, truths, strict=True)
        ]
        for name, loss in layer_losses(layer, truths, pairs, points).items():
            sums[name] = sums.get(name, 0) + loss
    return sums


def layer_losses(
    layer: Layer, truths: Sequence[Truth], pairs: Sequence[Pairs], points: int
) -> dict[str, Tensor]:
    """The weighted losses of one layer: of classes the mean over the queries, of masks that over
    the targets."""
    terms = [
        class_terms(classes.float(), masks.float(), truth, pair)
        for classes, masks, truth, pair in zip(
            layer.classes, layer.masks, truths, pairs, strict=True
        )
    ]
    loss, weight = (torch.cat(part) for part in zip(*terms, strict=True))
    logits = torch.cat([m[q] for m, (q, _) in zip(layer.masks, pairs, strict=True)]).float()
    places = uncertain_points(logits, points)
    parts = places.split([len(q) for q, _ in pairs])
    wanted = [
        truth.at(truth.masks[index], part)
        for truth, (_, index), part in zip(truths, pairs, parts, strict=True)
    ]
    entropy, dice = mask_losses(at_points(logits, places), torch.cat(wanted))
    objects = max(len(logits), 1)
    return {
        "class": CLASS * (loss * weight).sum() / weight.sum().clamp(min=1e-6),
        "mask": ENTROPY * entropy / objects,
        "dice": DICE * dice / objects,
    }


def class_terms(classes: Tensor, masks: Tensor, truth: Truth, pair: Pairs) -> tuple[Tensor, Tensor]:
    """Cross entropy and weight (Q,) of one image's queries, classes (Q, C + 1).

    A query that learns nothing has no weight in a crowd, and is not taught that it is wrong about
    categories that are not fully annotated.
    """
    queries, targets = pair
    none = classes.shape[1] - 1
    label = torch.full((len(classes),), none, device=classes.device)
    label[queries] = truth.labels[targets]
    if truth.exhaustive is not None:
        unknown = (label == none)[:, None] & ~F.pad(truth.exhaustive, (0, 1), value=True)
        classes = classes.masked_fill(unknown, -torch.inf)
    weight = torch.where(label == none, NONE, 1.0)
    weight = weight.masked_fill((label == none) & in_crowd(masks, truth), 0.0)
    return F.cross_entropy(classes, label, reduction="none"), weight
