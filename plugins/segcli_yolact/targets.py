"""Training targets of YOLACT: the assignment of objects to priors.

Letters as in model.py; T targets of an image. Boxes are xyxy relative to the canvas, 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segcli.types import Size, Targets
from segcli_blocks.boxes import area, intersection, iou
from segcli_blocks.targets import annotated, without_crowds
from segcli_yolact.heads import corners

NEUTRAL = -1


@dataclass(frozen=True, slots=True)
class Learning:
    """The choices of the authors' configuration; the defaults are theirs."""

    positive: float = 0.5  # IoU from which on a prior learns an object
    negative: float = 0.4  # and below which it learns the background
    crowd: float = 0.7  # a prior with this share of itself in a crowd is not background
    negatives: int = 3  # background priors for each one with an object, the hardest
    most_masks: int = 100  # priors of an image whose masks are learnt
    least_area: int = 25  # cells: smaller masks teach the rescoring nothing
    weights: tuple[float, float, float] = (1.5, 6.125, 25.0)  # box, mask, rescore


@dataclass(frozen=True, slots=True)
class Truth:
    """One image's targets: `boxes` (T, 4), `labels` (T,) and `masks` (T, H, W) without crowds;
    `crowd` boxes (K, 4); `annotated` bool (C,), see segcli_blocks.targets."""

    boxes: Tensor
    labels: Tensor
    masks: Tensor
    crowd: Tensor
    annotated: Tensor


@dataclass(frozen=True, slots=True)
class Match:
    """What each prior learns: `target` (P,) and its `label` + 1 as `classes` (P,): 0 is the
    background, -1 is left out."""

    target: Tensor
    classes: Tensor


def truth_of(target: Targets, canvas: Size, classes: int) -> Truth:
    """Targets on a canvas of (height, width) px."""
    size = target.boxes.new_tensor([canvas[1], canvas[0]] * 2)
    single, crowd = without_crowds(target), target.boxes[target.crowd] / size
    known = annotated(target, classes)
    return Truth(single.boxes / size, single.labels, single.masks, crowd, known)


def match(priors: Tensor, truth: Truth, options: Learning) -> Match:
    """Each prior takes the object it overlaps most; each object also gets the prior it overlaps
    most of those that are left, the best pairs first."""
    around = corners(priors)
    if not len(truth.boxes):
        classes = torch.zeros(len(priors), dtype=torch.int64, device=priors.device)
        return Match(classes, _without_crowd(classes, around, truth, options))
    overlaps = iou(truth.boxes, around)  # (T, P)
    best, target = overlaps.max(0)
    for _ in range(len(truth.boxes)):
        most, prior = overlaps.max(1)
        t = most.argmax()
        overlaps[:, prior[t]] = -1
        overlaps[t] = -1
        best[prior[t]] = 2
        target[prior[t]] = t
    classes = truth.labels[target] + 1
    classes[best < options.positive] = NEUTRAL
    classes[best < options.negative] = 0
    return Match(target, _without_crowd(classes, around, truth, options))


def _without_crowd(classes: Tensor, around: Tensor, truth: Truth, options: Learning) -> Tensor:
    """`classes` (P,) without the priors in crowds that have no object."""
    if not len(truth.crowd):
        return classes
    share = (intersection(truth.crowd, around) / area(around)).amax(0)
    return classes.masked_fill((share > options.crowd) & (classes <= 0), NEUTRAL)
