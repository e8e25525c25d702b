"""Training targets of CondInst: assignment around centres of mass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segcli.types import Targets
from segcli_blocks.fcos import Points
from segcli_blocks.fcos_losses import Assigned, match
from segcli_blocks.targets import at_cells, mass_centres, without_crowds

MOST_MASKS = 500  # positive locations of a batch that draw masks


def truth_of(target: Targets, points: Points) -> Assigned:
    """Assign an image's targets to locations."""
    single = without_crowds(target)
    boxes, masks = single.boxes, single.masks
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    found = match(points, boxes, areas, centres=mass_centres(masks).float())
    return Assigned(boxes, single.labels, at_cells(masks, 4), found)


def positives(truths: Sequence[Assigned]) -> tuple[Tensor, Tensor]:
    """Image and location (n,) of what learns a target; a random MOST_MASKS of them."""
    image, index = torch.stack([t.match for t in truths]).ge(0).nonzero(as_tuple=True)
    if len(image) > MOST_MASKS:
        chosen = torch.randperm(len(image), device=image.device)[:MOST_MASKS].sort().values
        image, index = image[chosen], index[chosen]
    return image, index
