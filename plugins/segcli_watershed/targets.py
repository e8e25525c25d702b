"""Training targets of the watershed: distances, directions and levels of each object.

Letters: T objects, h, w px of the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from segcli_blocks import regions

# Upper bounds of levels 0 to 14 in px: (0, 1] is level 0, above 54 is level 15.
BOUNDS = (1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 9.0, 12.0, 15.0, 19.0, 24.0, 30.0, 37.0, 45.0, 54.0)
LEVELS = len(BOUNDS) + 1
SMALLEST = 100  # px: smaller objects teach nothing
_WEIGHT = 200.0


@dataclass(frozen=True, slots=True)
class Landscape:
    """Maps of one image: `distance` f32 (h, w) px to the object's outside, `direction` f32
    (2, h, w), x before y, where it rises, `level` i64 (h, w), `weight` f32 (h, w)."""

    distance: Tensor
    direction: Tensor
    level: Tensor
    weight: Tensor


def landscape(
    ids: NDArray[np.integer], *, smallest: int = SMALLEST, edges: bool = True
) -> Landscape:
    """From a map of objects (h, w), 0 for none. `edges`: leave the direction out where an object
    meets another or the background; there it is the slope of two objects' distances at once."""
    distance = np.zeros(ids.shape, dtype=np.float64)
    weight = np.zeros(ids.shape, dtype=np.float64)
    numbered = np.unique(ids, return_inverse=True)[1].reshape(ids.shape)
    numbered = numbered + (ids.min() > 0)
    boxes = regions.boxes(numbered, int(numbered.max(initial=0)))
    for number, (left, top, right, bottom) in enumerate(boxes, 1):
        rows, columns = slice(max(top - 1, 0), bottom + 1), slice(max(left - 1, 0), right + 1)
        own = numbered[rows, columns] == number
        area = int(own.sum())
        if area >= smallest:
            distance[rows, columns] += regions.distance_inside(own)
            weight[rows, columns] += _WEIGHT / area**0.5 * own
    far = torch.from_numpy(distance)
    direction = slope(far)
    if edges:
        direction = direction * ~rim(torch.from_numpy(numbered))
    bounds = torch.tensor(BOUNDS, dtype=far.dtype)
    return Landscape(
        distance=far.float(),
        direction=direction.float(),
        level=torch.bucketize(far, bounds),
        weight=torch.from_numpy(weight).float(),
    )


def slope(distance: Tensor) -> Tensor:
    """Sobel's gradient over 8 (2, h, w), x before y, of a map (h, w) whose edge is repeated."""
    smooth = distance.new_tensor([1.0, 2.0, 1.0])
    step = distance.new_tensor([-1.0, 0.0, 1.0])
    kernels = torch.stack((smooth[:, None] * step, step[:, None] * smooth))[:, None] / 8
    padded = F.pad(distance[None, None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, kernels)[0]


def rim(ids: Tensor) -> Tensor:
    """bool (h, w): px of which one of the four neighbours belongs to something else."""
    found = torch.zeros(ids.shape, dtype=torch.bool)
    across, down = ids[:, 1:] != ids[:, :-1], ids[1:] != ids[:-1]
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= down
    found[:-1] |= down
    return found
