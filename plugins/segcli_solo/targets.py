"""Training targets of SOLO: the assignment of objects to cells.

Letters: B images, T targets of an image, C categories, S the grid of a level, n pairs of a cell
and a target; H, W the canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segcli.types import Targets
from segcli_blocks.targets import counted, crowded, mass_centres, without_crowds

Claims = Sequence[tuple[int, list[int]]]  # a target, and xyxy cells, the last one included


@dataclass(frozen=True, slots=True)
class Learning:
    """The choices of the authors' configuration; the defaults are theirs.

    `ranges` px: the least and the largest object of each level, as the root of its box's area.
    `sigma`: the share of its box that is an object's centre. `last_only`: where several objects
    claim a cell, it learns the last one's mask, as in SOLO, and not all of them, as in SOLOv2.
    """

    ranges: tuple[tuple[float, float], ...]
    sigma: float = 0.2
    last_only: bool = False
    mask_weight: float = 3.0


@dataclass(frozen=True, slots=True)
class Learnt:
    """What one level learns of one image: `categories` (S, S), -1 where no object is; `cell` (n,)
    and `target` (n,), of those without crowds: the pairs; `counts` bool (S, S, C): which class
    logits count at all."""

    categories: Tensor
    cell: Tensor
    target: Tensor
    counts: Tensor


def targets_of(
    target: Targets, grids: Sequence[int], classes: int, options: Learning
) -> list[Learnt]:
    """One image's targets, level by level."""
    single = without_crowds(target)
    boxes = single.boxes - single.boxes.new_tensor([0, 0, 1, 1])  # the last px included
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0)
    scale = sides.prod(1).sqrt()
    centres, filled = mass_centres(single.masks), single.masks.flatten(1).any(1)
    found = []
    for grid, (least, most) in zip(grids, options.ranges, strict=True):
        chosen = ((scale >= least) & (scale <= most) & filled).nonzero()[:, 0]
        half = options.sigma * sides[chosen] / 2
        bounds = _cells(centres[chosen], half, target.masks.shape[-2:], grid)
        claims = list(zip(chosen.tolist(), bounds.tolist(), strict=True))
        found.append(_level(target, single.labels, claims, grid, classes))
    if options.last_only:
        return [_without_earlier(level) for level in found]
    return found


def _cells(centres: Tensor, half: Tensor, canvas: Sequence[int], grid: int) -> Tensor:
    """xyxy (T, 4), last cell included: those in the middle of an object, at most 3 x 3."""
    size = centres.new_tensor([canvas[1], canvas[0]])
    middle = torch.div(centres / size, 1 / grid, rounding_mode="floor")
    # The authors' arithmetic is float32 from here on.
    ends = [(c.float() / size.float()) for c in (centres - half, centres + half)]
    low, high = (torch.div(e, 1 / grid, rounding_mode="floor") for e in ends)
    low = torch.maximum(low.double().clamp(min=0), middle - 1)
    high = torch.minimum(high.double().clamp(max=grid - 1), middle + 1)
    return torch.cat((low, high), 1).long()


def _level(target: Targets, labels: Tensor, claims: Claims, grid: int, classes: int) -> Learnt:
    """`claims`: which of the single targets, with `labels` (T,), claim which cells xyxy."""
    place = torch.arange(grid * grid, device=labels.device).view(grid, grid)
    categories = torch.full_like(place, -1)
    cells, owners = [place[:0, 0]], [place[:0, 0]]
    for t, (left, top, right, bottom) in claims:
        own = (slice(top, bottom + 1), slice(left, right + 1))
        categories[own] = labels[t]
        cells.append(place[own].flatten())
        owners.append(torch.full_like(cells[-1], t))
    height, width = target.masks.shape[-2:]
    step = (torch.arange(grid, device=labels.device) + 0.5) / grid
    y, x = (step * height).long(), (step * width).long()
    crowd = crowded(target, target.masks[:, y[:, None], x])
    counts = counted(target, categories, crowd, classes)
    return Learnt(categories, torch.cat(cells), torch.cat(owners), counts)


def _without_earlier(level: Learnt) -> Learnt:
    """Of the pairs of a cell the last one, by cell."""
    last = {cell: t for cell, t in zip(level.cell.tolist(), level.target.tolist(), strict=True)}
    pairs = torch.tensor(sorted(last.items()), dtype=torch.int64, device=level.cell.device)
    pairs = pairs.reshape(-1, 2)
    return Learnt(level.categories, pairs[:, 0], pairs[:, 1], level.counts)


def shrunk(masks: Tensor, factor: int) -> Tensor:
    """bool (n, H, W) -> bool (n, H / factor, W / factor): at least 2 of a cell's inner 2 x 2 px."""
    near = (factor // 2 - 1, factor // 2)
    inner = [masks[:, i::factor, j::factor].to(torch.uint8) for i in near for j in near]
    return torch.stack(inner).sum(0) >= 2
