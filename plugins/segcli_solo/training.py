"""What SOLO learns from: which cells learn which object, and the losses.

Letters: B images, T targets of an image, C categories, S the grid of a level, n pairs of a cell
and a target; H, W the canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segcli.types import Targets
from segcli_blocks.losses import dice, focal
from segcli_solo.heads import Dense

_EPS = 0.002  # twice the authors' 0.001: one for either sum


@dataclass(frozen=True, slots=True)
class Options:
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
    and `target` (n,): the pairs; `counts` bool (S, S, C): which class logits count at all."""

    categories: Tensor
    cell: Tensor
    target: Tensor
    counts: Tensor


def targets_of(
    target: Targets, grids: Sequence[int], classes: int, options: Options
) -> list[Learnt]:
    """One image's targets, level by level."""
    single = (~target.crowd).nonzero()[:, 0]
    boxes = target.boxes[single] - target.boxes.new_tensor([0, 0, 1, 1])  # the last px included
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0)
    scale = sides.prod(1).sqrt()
    centres, filled = _centres(target.masks[single])
    found = []
    for grid, (least, most) in zip(grids, options.ranges, strict=True):
        chosen = ((scale >= least) & (scale <= most) & filled).nonzero()[:, 0]
        bounds = _cells(
            centres[chosen], options.sigma * sides[chosen] / 2, target.masks.shape[-2:], grid
        )
        found.append(_level(target, single[chosen], bounds, grid, classes))
    if options.last_only:
        return [_without_earlier(level) for level in found]
    return found


def _centres(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Centres of mass (T, 2) float64, x before y, in px indices; and which masks are not empty."""
    height, width = masks.shape[-2:]
    area = masks.sum((1, 2)).double()
    x = (masks.sum(1) * torch.arange(width, device=masks.device)).sum(1) / area
    y = (masks.sum(2) * torch.arange(height, device=masks.device)).sum(1) / area
    return torch.stack((x, y), 1), area > 0


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


def _level(target: Targets, chosen: Tensor, bounds: Tensor, grid: int, classes: int) -> Learnt:
    """`chosen` (t,) of the targets claim the cells `bounds` (t, 4)."""
    device = target.labels.device
    categories = torch.full((grid, grid), -1, dtype=torch.int64, device=device)
    cells, owners = [], []
    for t, (left, top, right, bottom) in zip(chosen.tolist(), bounds.tolist(), strict=True):
        categories[top : bottom + 1, left : right + 1] = target.labels[t]
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                cells.append(row * grid + column)
                owners.append(t)
    counts = torch.ones((grid, grid, classes), dtype=torch.bool, device=device)
    if bool(target.crowd.any()):
        counts &= ~_crowded(target, grid)[:, :, None]
    if target.exhaustive is not None:
        counts &= target.exhaustive
    counts |= (categories >= 0)[:, :, None]
    pairs = torch.tensor([cells, owners], dtype=torch.int64, device=device)
    return Learnt(categories, pairs[0], pairs[1], counts)


def _crowded(target: Targets, grid: int) -> Tensor:
    """bool (S, S): the cells whose centre lies in a crowd."""
    height, width = target.masks.shape[-2:]
    step = (torch.arange(grid, device=target.masks.device) + 0.5) / grid
    y, x = (step * height).long(), (step * width).long()
    return target.masks[target.crowd].any(0)[y[:, None], x]


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


def losses(
    dense: Dense, targets: Sequence[Targets], learnt: Sequence[Sequence[Learnt]], options: Options
) -> dict[str, Tensor]:
    """`learnt`: level by level of each image. Section 3.3 of SOLO, eq. 3 to 5."""
    overlaps = [dense.categories[0].new_zeros(0)]
    wrong, cells = dense.categories[0].new_zeros(()), 0
    for b, (target, levels) in enumerate(zip(targets, learnt, strict=True)):
        for index, level in enumerate(levels):
            logits = dense.categories[index][b].permute(1, 2, 0)  # (S, S, C)
            positive = level.categories >= 0
            wanted = torch.zeros_like(logits)
            wanted[positive, level.categories[positive]] = 1
            wrong = wrong + torch.where(level.counts, focal(logits, wanted), 0.0).sum()
            cells += int(positive.sum())
            if len(level.cell):
                soft = dense.masks.learnt(b, index, level.cell)
                masks = shrunk(target.masks, dense.masks.strides[index])[level.target]
                overlaps.append(dice(soft, masks, _EPS))
    pairs = torch.cat(overlaps)
    mask = pairs.sum() / max(1, len(pairs))
    return {
        "mask": options.mask_weight * mask + dense.masks.nothing(),
        "category": wrong / (cells + 1),
    }
