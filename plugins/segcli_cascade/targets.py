"""Training targets of the later stages: all boxes that the previous stage has refined."""

from __future__ import annotations

from torch import Tensor

from segcli.types import Targets
from segcli_blocks.rcnn.matcher import in_crowd
from segcli_blocks.rcnn.sampler import Regions, matched_regions


def stage_targets(boxes: Tensor, target: Targets, least: float) -> Regions:
    """An image's boxes (n, 4) with an area, labelled by an IoU of at `least`; background that lies
    in a crowd region may be objects and is left out."""
    filled = (boxes[:, 2:] > boxes[:, :2]).all(1)
    regions = matched_regions(boxes[filled], target, least=least)
    return regions.at((regions.labels >= 0) | ~in_crowd(regions.boxes, target))
