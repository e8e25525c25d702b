"""Training targets of EoMT, and their assignment to queries.

Letters: Q queries, C categories, T targets of an image, P points in [0, 1] of the square.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segcli.types import Targets
from segcli_blocks.set_prediction import assign, at_points, pair_costs
from segcli_blocks.targets import without_crowds

CLASS, ENTROPY, DICE = 2.0, 5.0, 5.0  # the authors' costs of a pair


@dataclass(frozen=True, slots=True)
class Truth:
    """One image's objects: `labels` i64 (T,); `masks` f32 (T, Hc, Wc), 0 or 1, and `crowd` f32
    (1, Hc, Wc); `reach` (2,): how many times the canvas's width and height the square's are."""

    labels: Tensor
    masks: Tensor
    crowd: Tensor
    reach: Tensor
    exhaustive: Tensor | None

    def at(self, masks: Tensor, points: Tensor) -> Tensor:
        """Masks (n, Hc, Wc) at points (n, P, 2) or (1, P, 2) of the square: (n, P)."""
        return at_points(masks, points * self.reach)


def truth_of(target: Targets, side: float) -> Truth:
    """An image's targets; the square reaches over `side` px of the canvas."""
    single = without_crowds(target)
    height, width = target.masks.shape[1:]
    return Truth(
        single.labels,
        single.masks.float(),
        target.masks[target.crowd].any(0)[None].float(),
        torch.tensor([side / width, side / height], device=target.masks.device),
        target.exhaustive,
    )


@torch.no_grad()
def match(classes: Tensor, masks: Tensor, truth: Truth, points: int) -> tuple[Tensor, Tensor]:
    """Queries and targets i64 (T,): each target has the query that suits it best.

    One image: classes (Q, C + 1) and masks (Q, h, w), logits.
    """
    places = torch.rand(1, points, 2, device=masks.device)
    entropy, dice = pair_costs(at_points(masks, places), truth.at(truth.masks, places))
    probability = classes.softmax(1)[:, truth.labels]
    return assign(-CLASS * probability + ENTROPY * entropy + DICE * dice)


@torch.no_grad()
def in_crowd(masks: Tensor, truth: Truth) -> Tensor:
    """bool (Q,): whether more than half of a mask (Q, h, w) of logits lies in a crowd."""
    h, w = masks.shape[1:]
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    centres = torch.stack(((x + 0.5) / w, (y + 0.5) / h), -1).view(1, -1, 2).to(masks.device)
    crowd = truth.at(truth.crowd, centres)[0] > 0.5
    inside = masks.flatten(1) > 0
    return 2 * (inside & crowd).sum(1) > inside.sum(1)
