"""The heads: maps P2..P6 in, classes per grid cell and masks out.

All levels share a head. Letters: B images, C categories, S the grid of a level, D dimensions of a
kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli_blocks.towers import coordinates, init_normal, prior, tower
from segcli_solo.masks import CELL, Decoupled, Direct, Dynamic, Masks

STRIDES = (8, 8, 16, 32, 32)  # px: of the maps that the heads see, after `levels`


@dataclass(frozen=True, slots=True)
class Dense:
    """`categories` logits (B, C, S, S) per level, and the `masks`."""

    categories: list[Tensor]
    masks: Masks

    @property
    def tensors(self) -> list[Tensor]:
        """All in one list; `dense` of the head is the inverse."""
        return [*self.categories, *self.masks.tensors]


def levels(maps: Sequence[Tensor]) -> list[Tensor]:
    """P2..P6 -> maps of strides 8, 8, 16, 32, 32: the ends meet their neighbours."""
    first, *middle, last = maps
    return [_to(first, middle[0].shape[-2:]), *middle, _to(last, middle[-1].shape[-2:])]


def parts(tensors: Sequence[Tensor], count: int) -> list[list[Tensor]]:
    """Tensors in lists of `count`, one for each level."""
    return [list(tensors[i : i + count]) for i in range(0, len(tensors), count)]


def _to(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear")


class DynamicHead(nn.Module):
    """SOLOv2: a cell predicts its class and the kernel of its mask (section 3.2)."""

    def __init__(
        self,
        inputs: int,
        classes: int,
        *,
        grids: Sequence[int],
        width: int,
        depth: int,
        features: Features,
    ) -> None:
        super().__init__()
        self.grids = tuple(grids)
        self.kernel_tower = tower(inputs + 2, width, depth, bias=False)
        self.category_tower = tower(inputs, width, depth, bias=False)
        self.category = nn.Conv2d(width, classes, 3, padding=1)
        self.kernel = nn.Conv2d(width, features.dims, 3, padding=1)
        self.features = features
        init_normal(self)
        prior(self.category)

    def forward(self, maps: Sequence[Tensor]) -> Dense:
        categories, kernels = [], []
        for x, grid in zip(levels(maps), self.grids, strict=True):
            cells = _to(torch.cat((x, coordinates(x)), 1), (grid, grid))  # (B, inputs + 2, S, S)
            kernels.append(self.kernel(self.kernel_tower(cells)).float())
            categories.append(self.category(self.category_tower(cells[:, :-2])).float())
        return self.dense([*categories, *kernels, self.features(maps).float()])

    def dense(self, tensors: Sequence[Tensor]) -> Dense:
        """The outputs, from all their tensors."""
        *levels, features = tensors
        categories, kernels = parts(levels, len(self.grids))
        # Laid out for the matrix product with the kernels, once for all levels.
        return Dense(categories, Dynamic(kernels, features.contiguous()))


class Features(nn.Module):
    """P2..P5 -> mask features (B, D, h, w) at stride 4, never negative (section 3.3)."""

    def __init__(self, inputs: int, width: int, dims: int) -> None:
        super().__init__()
        self.dims = dims
        branches = [tower(inputs, width, 1, bias=False)]
        for doublings in (1, 2, 3):
            layers: list[nn.Module] = []
            for step in range(doublings):
                channels = width if step else inputs + 2 * (doublings == 3)
                layers += [*tower(channels, width, 1, bias=False), _Double()]
            branches.append(nn.Sequential(*layers))
        self.branches = nn.ModuleList(branches)
        self.out = nn.Sequential(
            nn.Conv2d(width, dims, 1, bias=False), nn.GroupNorm(min(32, dims), dims), nn.ReLU()
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        p2, p3, p4, p5 = maps[:4]
        p5 = torch.cat((p5, coordinates(p5)), 1)
        summed = self.branches[0](p2)
        for branch, x in zip(list(self.branches)[1:], (p3, p4, p5), strict=True):
            summed = summed + branch(x)
        found: Tensor = self.out(summed)
        return found


class _Double(nn.Module):
    """Twice as large, bilinear."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear")


class DirectHead(nn.Module):
    """SOLO: a mask per cell, as a channel of its own (Wang et al., ECCV 2020, section 3)."""

    def __init__(
        self, inputs: int, classes: int, *, grids: Sequence[int], width: int, depth: int
    ) -> None:
        super().__init__()
        self.grids = tuple(grids)
        self.mask_tower = tower(inputs + 2, width, depth, bias=False)
        self.category_tower = tower(inputs, width, depth, bias=False)
        self.category = nn.Conv2d(width, classes, 3, padding=1)
        self.masks = nn.ModuleList(nn.Conv2d(width, grid * grid, 1) for grid in grids)
        _init(self, self.category, *self.masks)

    def forward(self, maps: Sequence[Tensor]) -> Dense:
        found, logits = [], []
        for x, grid, conv in zip(levels(maps), self.grids, self.masks, strict=True):
            tall = self.mask_tower(torch.cat((x, coordinates(x)), 1))
            logits.append(conv(_double(tall)).float())  # (B, S * S, 2y, 2x)
            found.append(self.category(self.category_tower(_to(x, (grid, grid)))).float())
        return self.dense([*found, *logits])

    def dense(self, tensors: Sequence[Tensor]) -> Dense:
        """The outputs, from all their tensors."""
        categories, logits = parts(tensors, len(self.grids))
        return Dense(categories, Direct(logits, _MASK_STRIDES))


class DecoupledHead(nn.Module):
    """Decoupled SOLO: a mask per column and one per row (section 3.4). `light`: both come from one
    tower, which sees both coordinates."""

    def __init__(
        self,
        inputs: int,
        classes: int,
        *,
        grids: Sequence[int],
        width: int,
        depth: int,
        light: bool = False,
    ) -> None:
        super().__init__()
        self.grids = tuple(grids)
        self.light = light
        if light:
            self.mask_tower = tower(inputs + 2, width, depth, bias=False)
        else:
            self.x_tower = tower(inputs + 1, width, depth, bias=False)
            self.y_tower = tower(inputs + 1, width, depth, bias=False)
        self.category_tower = tower(inputs, width, depth, bias=False)
        self.category = nn.Conv2d(width, classes, 3, padding=1)
        self.x_masks = nn.ModuleList(nn.Conv2d(width, grid, 3, padding=1) for grid in grids)
        self.y_masks = nn.ModuleList(nn.Conv2d(width, grid, 3, padding=1) for grid in grids)
        _init(self, self.category, *self.x_masks, *self.y_masks)

    def forward(self, maps: Sequence[Tensor]) -> Dense:
        found, xs, ys = [], [], []
        for index, (x, grid) in enumerate(zip(levels(maps), self.grids, strict=True)):
            across, along = self._towers(x)
            xs.append(self.x_masks[index](across).float())  # (B, S, 2y, 2x)
            ys.append(self.y_masks[index](along).float())
            found.append(self.category(self.category_tower(_to(x, (grid, grid)))).float())
        return self.dense([*found, *xs, *ys])

    def dense(self, tensors: Sequence[Tensor]) -> Dense:
        """The outputs, from all their tensors."""
        categories, xs, ys = parts(tensors, len(self.grids))
        return Dense(categories, Decoupled(xs, ys, _MASK_STRIDES))

    def _towers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        place = coordinates(x)
        if self.light:
            both = _double(self.mask_tower(torch.cat((x, place), 1)))
            return both, both
        across = self.x_tower(torch.cat((x, place[:, :1]), 1))
        along = self.y_tower(torch.cat((x, place[:, 1:]), 1))
        return _double(across), _double(along)


_MASK_STRIDES = tuple(max(CELL, stride // 2) for stride in STRIDES)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")


def _init(head: nn.Module, *outputs: nn.Module) -> None:
    """The authors' beginning: small weights, and 0.01 everywhere in classes and masks."""
    init_normal(head)
    for conv in outputs:
        assert isinstance(conv, nn.Conv2d)
        prior(conv)
