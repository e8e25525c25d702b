"""Keypoint R-CNN (He et al. 2017, section 5): a heat map for each keypoint instead of a mask.

Letters: N regions or objects, P keypoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor

from segcli.types import Batch, Instances, ModelInfo, Targets
from segcli_blocks.rcnn.conventions import TORCHVISION, Conventions
from segcli_blocks.rcnn.sampler import Regions
from segcli_blocks.rcnn.two_stage import RoIHeads, TwoStage
from segcli_blocks.segmenter import Selection


class KeypointHeads(RoIHeads):
    """Mask R-CNN's second stage with `keypoint_head` and `keypoint_predictor` in place of the
    layers for masks."""

    replaced = frozenset({"mask"})

    def __init__(
        self, *layers: nn.Module, conventions: Conventions = TORCHVISION, classes: Sequence[int]
    ) -> None:
        box_head, box_predictor, keypoint_head, keypoint_predictor = layers
        super().__init__(
            box_head, box_predictor, nn.Identity(), nn.Identity(), conventions=conventions,
            classes=classes,
        )  # fmt: skip
        self.keypoint_head = keypoint_head
        self.keypoint_predictor = keypoint_predictor

    def heat_maps(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Boxes per image -> the logits (N, P, 56, 56) of the cells, float32."""
        features = self.mask_features(maps, boxes)
        logits: Tensor = self.keypoint_predictor(self.keypoint_head(features)).float()
        return logits

    def learned(self, regions: Regions) -> Regions:
        """Every region that is an object: keypoints are annotated without an outline too."""
        return regions.at(regions.labels >= 0)

    def mask_losses(
        self, maps: Sequence[Tensor], positive: Sequence[Regions], targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """`keypoint`, of the annotated keypoints that lie in their region."""
        logits = self.heat_maps(maps, [p.boxes for p in positive])
        cells, valid = keypoint_targets(positive, targets, logits.shape[1], logits.shape[-1])
        return {"keypoint": keypoint_loss(logits, cells, valid)}


class KeypointRCNN(TwoStage):
    """A two-stage detector of objects with keypoints. The mask of an object is its whole box."""

    roi_heads: KeypointHeads

    def answer(self, batch: Batch, selection: Selection) -> list[Instances]:
        """See BaseSegmenter; suppression is per class at IoU 0.5."""
        maps, scored = self.first_stage(batch)
        proposals = self.rpn.propose(scored, batch.content_sizes)
        found = self.roi_heads.detect(maps, proposals, batch.content_sizes, selection)
        boxes = [f.boxes for f in found]
        count, names = sum(map(len, boxes)), self.info.keypoints or ()
        points = torch.zeros((count, len(names), 3), device=maps[0].device)
        if count:
            points = keypoints_of(self.roi_heads.heat_maps(maps, boxes), torch.cat(boxes))
        fields = maps[0].new_ones((count, 2, 2), dtype=torch.float32)
        answers = self.instances(found, fields, None, batch)
        own = points.split([len(b) for b in boxes])
        return [_filled(one, p) for one, p in zip(answers, own, strict=True)]


def _filled(instances: Instances, keypoints: Tensor) -> Instances:
    """With masks that are the px whose centres lie in the box.

    The centres of the four cells are the corners of the box, and the value falls steeply beyond.
    """
    low, high = instances.extents.chunk(2, 1)
    half = (high - low) / 2
    extents = torch.cat((low - half, high + half), 1)
    return replace(instances, extents=extents, threshold=0.0, outside=-1e6, keypoints=keypoints)


def keypoints_of(logits: Tensor, boxes: Tensor) -> Tensor:
    """Logits (N, P, s, s) over the boxes (N, 4), canvas px -> (N, P, 3): x, y and score.

    The heat map is enlarged to the px of its box, where the largest value wins. The score is the
    share of the cell's probability, as in detectron2, limited to 1.
    """
    found = logits.new_zeros((*logits.shape[:2], 3))
    for points, heat, box in zip(found, logits, boxes, strict=True):
        width, height = (box[2:] - box[:2]).clamp(min=1).tolist()
        size = (ceil(height), ceil(width))
        large = F.interpolate(heat[None], size=size, mode="bicubic", align_corners=False)[0]
        best, at = large.flatten(1).max(1)
        points[:, 0] = (at % size[1] + 0.5) * (width / size[1]) + box[0]
        points[:, 1] = (at // size[1] + 0.5) * (height / size[0]) + box[1]
        points[:, 2] = (best - heat.flatten(1).logsumexp(1)).exp().clamp(max=1)
    return found


def keypoint_targets(
    positive: Sequence[Regions], targets: Sequence[Targets], count: int, size: int
) -> tuple[Tensor, Tensor]:
    """The cell (N, P) of each of `count` keypoints, y * size + x, and which of them are learned:
    those that are annotated and lie in their region. A point on the right or lower side of the
    region is in its last cell."""
    cells, valid = [], []
    for regions, target in zip(positive, targets, strict=True):
        box = regions.boxes[:, None]
        if target.keypoints is None or not len(regions.boxes):
            points = box.new_zeros((len(box), count, 3))
        else:
            points = target.keypoints[~target.crowd][regions.match]
        low, high, xy = box[..., :2], box[..., 2:], points[..., :2]
        cell = ((xy - low) * (size / (high - low))).floor().long()
        cell = torch.where(xy == high, size - 1, cell)
        inside = ((cell >= 0) & (cell < size)).all(-1)
        cells.append(cell[..., 1] * size + cell[..., 0])
        valid.append(inside & (points[..., 2] > 0))
    return torch.cat(cells), torch.cat(valid)


def keypoint_loss(logits: Tensor, cells: Tensor, valid: Tensor) -> Tensor:
    """Mean cross-entropy of logits (N, P, s, s) over the valid keypoints; zero without any."""
    if not bool(valid.any()):
        return logits.sum() * 0
    return F.cross_entropy(logits.flatten(2)[valid], cells[valid])


def assemble(
    info: ModelInfo,
    backbone: nn.Module,
    *,
    width: int = 256,
    hidden: int = 1024,
    channels: int = 512,
    depth: int = 8,
    conventions: Conventions = TORCHVISION,
) -> KeypointRCNN:
    """On any backbone of P2 to P6 with `width` channels; `depth` convolutions of `channels`."""
    positions = len(info.categories) + 1
    roi_heads = KeypointHeads(
        TwoMLPHead(width * 7 * 7, hidden),
        FastRCNNPredictor(hidden, positions),
        KeypointRCNNHeads(width, (channels,) * depth),
        KeypointRCNNPredictor(channels, len(info.keypoints or ())),
        conventions=conventions,
        classes=range(1, positions),
    )
    return KeypointRCNN(info, backbone=backbone, roi_heads=roi_heads, width=width)
