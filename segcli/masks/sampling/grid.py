"""The positions of an image's pixels on the grids of its mask fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Rule:
    """When a value belongs to a mask: at or above (`strict`: above) `threshold`.

    `outside` is the value one cell beyond the last centre; None repeats the edge.
    """

    threshold: float
    strict: bool
    outside: float | None

    @classmethod
    def of(cls, threshold: float, strict: bool, outside: float | Literal["clamp"]) -> Rule:
        """The threshold becomes the float32 that fields can be compared with exactly."""
        exact = torch.tensor([threshold], dtype=torch.float32).double().item()
        return cls(exact, strict, None if outside == "clamp" else float(outside))

    def holds(self, excess: Tensor) -> Tensor:
        """Which values (minus the threshold) belong to the mask; bool, of the same shape."""
        return excess > 0 if self.strict else excess >= 0

    @property
    def outside_holds(self) -> bool:
        """Whether a pixel far from the grid belongs to the mask."""
        if self.outside is None:
            return False
        over = self.outside - self.threshold
        return over > 0 if self.strict else over >= 0

    @property
    def reaches(self) -> bool:
        """Whether masks can reach beyond the cells next to the grid."""
        return self.outside is None or self.outside_holds


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of n grids, each of `cells` cells, over the pixels of the image; float64.

    Knot k is the centre of cell k; knots -1 and `cells` lie one cell beyond the grid.
    `place` (n, pixels): where each pixel's centre lies, in knots. `first` (n, cells + 2) i64: the
    first pixel at or after each knot, from knot -1 on. `low`, `pitch` (n,): where the grid begins,
    and how large a cell is, in px. `reach` (n,): how large the coordinates are, for rounding.
    """

    place: Tensor
    first: Tensor
    low: Tensor
    pitch: Tensor
    reach: Tensor


def axis(low: Tensor, high: Tensor, *, cells: int, pixels: int) -> Axis:
    """Grids that span `low`..`high` (n,) float64 px, high > low.

    Elementwise tensor arithmetic only (no scalar divisors, nothing fused), so that a GPU and any
    number of threads round like one core.
    """
    if len(low) > 1 and torch.equal(low[1:], low[:-1]) and torch.equal(high[1:], high[:-1]):
        one = axis(low[:1], high[:1], cells=cells, pixels=pixels)  # grids that span the content
        place, first = (t.expand(len(low), -1).contiguous() for t in (one.place, one.first))
        pitch, reach = (t.expand(len(low)).contiguous() for t in (one.pitch, one.reach))
        return Axis(place, first, low, pitch, reach)
    span = high - low
    centres = torch.arange(pixels, dtype=torch.float64, device=low.device) + 0.5
    scale = torch.full_like(span, cells) / span
    place = (centres - low[:, None]) * scale[:, None] - 0.5
    knots = torch.arange(-1, cells + 1, dtype=torch.float64, device=low.device)
    first = torch.searchsorted(place, knots.expand(len(low), -1).contiguous())
    pitch = span / torch.full_like(span, cells)
    return Axis(place, first, low, pitch, low.abs() + high.abs())
