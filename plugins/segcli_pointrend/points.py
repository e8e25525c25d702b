"""Values of maps at points, and which points a mask is asked for (Kirillov et al. 2020).

Points (..., 2) are x, y in 0 to 1, relative to a box or to an image: 0 and 1 are the outer edges of
the first and the last pixel. N boxes of all images together, P points in each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segcli.types import Size


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many points a mask gets; the defaults are the published ones.

    At test time the mask doubles its side `steps` times, and `points` of its cells are computed
    anew after each step. In training a mask learns `learned` points: of `oversampled` times as many
    random points, the least certain ones make up the share `uncertain`; the others are random.
    """

    points: int = 784
    steps: int = 5
    learned: int = 196
    oversampled: int = 3
    uncertain: float = 0.75

    def start(self, side: int) -> tuple[int, int]:
        """Where subdivision begins from a coarse mask of `side` cells: the side at which every cell
        is computed, and the number of steps that are left (section 3.1)."""
        steps = self.steps
        while 4 * side**2 <= self.points:
            side, steps = side * 2, steps - 1
        return side, steps


PUBLISHED = Sampling()


def grid(side: int, device: torch.device) -> Tensor:
    """The centres (side * side, 2) of the cells of a square grid, row by row."""
    centres = (torch.arange(side, device=device) + 0.5) / side
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack((x, y), -1).flatten(0, 1)


def sampled(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values (N, C, P), float32, of maps (N, C, h, w) at points (N, P, 2); zero beyond."""
    values: Tensor = F.grid_sample(maps.float(), points[:, None] * 2 - 1, align_corners=False)
    return values[:, :, 0]


def sampled_in_boxes(maps: Tensor, boxes: Sequence[Tensor], points: Tensor, size: Size) -> Tensor:
    """Values (N, C, P), float32, of an image's map, one of (B, C, h, w), at points (N, P, 2) of its
    boxes (n_b, 4); the maps show images of `size` (height, width) px."""
    values = []
    counts = [len(b) for b in boxes]
    for image, box, point in zip(maps, boxes, points.split(counts), strict=True):
        whole = in_image(box, point, size)
        values.append(
            sampled(image[None], whole.reshape(1, -1, 2))[0].unflatten(1, point.shape[:2])
        )
    return torch.cat(values, 1).transpose(0, 1)


def in_image(boxes: Tensor, points: Tensor, size: Size) -> Tensor:
    """Points (n, P, 2) of boxes (n, 4) xyxy px, relative to an image of `size` (height, width)."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    return (low + points * (high - low)) / points.new_tensor([size[1], size[0]])


def least_certain(logits: Tensor, count: int) -> Tensor:
    """Indices (N, count) of the logits (N, M) that are nearest to 0, all of them at most."""
    return (-logits.abs()).topk(min(count, logits.shape[1]), dim=1).indices


@torch.no_grad()
def training_points(
    logits: Tensor, sampling: Sampling, draw: Callable[..., Tensor] = torch.rand
) -> Tensor:
    """Points (N, learned, 2) for masks with coarse logits (N, s, s) of their class (section 3.2).

    `draw` gives random numbers in 0 to 1 of a shape.
    """
    n = len(logits)
    random = draw(n, sampling.oversampled * sampling.learned, 2, device=logits.device)
    uncertain = int(sampling.uncertain * sampling.learned)
    # Certainty is that of the interpolated logit: a point between two certain cells of different
    # sign is uncertain.
    chosen = least_certain(sampled(logits[:, None], random)[:, 0], uncertain)
    others = draw(n, sampling.learned - uncertain, 2, device=logits.device)
    return torch.cat((random.gather(1, chosen[..., None].expand(-1, -1, 2)), others), 1)
