"""Mask R-CNN without a feature pyramid (He et al. 2017, section 3): both stages see one map of
stride 16, and every place of it has anchors of five sizes.

C4: the map is that of the body's fourth stage. The fifth stage, `res5`, looks at each region, and
box, class and mask share what it finds. DC5: the map is that of the fifth stage, with dilation
instead of a stride (Dai et al. 2017), under the heads that are usual with a pyramid.

Letters: N regions, K class positions with background first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead

from segcli.types import ModelInfo, Size, Targets
from segcli_blocks.rcnn.anchors import RATIOS
from segcli_blocks.rcnn.conventions import DETECTRON2, Conventions
from segcli_blocks.rcnn.losses import mask_loss, mask_targets
from segcli_blocks.rcnn.mask_head import mask_predictor
from segcli_blocks.rcnn.roi_pool import Pooler, rois_of
from segcli_blocks.rcnn.two_stage import RoIHeads, TwoStage
from segcli_blocks.resnet import ResNet

SINGLE = replace(DETECTRON2, finest=16, per_level=(6000, 12000), proposals=(1000, 2000))

_REGIONS = 128  # that res5 sees at once: a thousand of them would take gigabytes


class LastMap(nn.Module):
    """The last map of a body as the only one."""

    def __init__(self, body: ResNet) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> the map of stride 16."""
        last: list[Tensor] = self.body(x)[-1:]
        return last

    def calibrate(self, x: Tensor) -> None:
        """See segcli_blocks.backbone.Pretrained: there is nothing above the body to fit."""

    def freeze_stem(self) -> None:
        """See segcli_blocks.backbone.Pretrained."""
        self.body.freeze_stem()


class Res5Heads(RoIHeads):
    """A second stage whose box part and mask part both begin with `res5`, a stage of stride 2."""

    replaced = frozenset({"box", "mask"})

    def __init__(
        self,
        res5: nn.Module,
        box_predictor: nn.Module,
        mask_predictor: nn.Module,
        *,
        conventions: Conventions = SINGLE,
        classes: Sequence[int],
    ) -> None:
        super().__init__(
            nn.Identity(), box_predictor, nn.Identity(), mask_predictor, conventions=conventions,
            classes=classes,
        )  # fmt: skip
        self.res5 = res5
        self.box_pool = self.mask_pool = Pooler(14, conventions)

    def regions(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Iterator[Tensor]:
        """Boxes per image -> what `res5` finds in them, a part at a time: (n, channels, 7, 7)."""
        (features,) = maps
        scale = 1 / self.conventions.finest
        for rois in rois_of(boxes).split(_REGIONS):
            pooled = self.box_pool.align(features, rois, scale)
            yield self.res5(pooled.contiguous(memory_format=torch.channels_last))

    def classify(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """See RoIHeads."""
        return self._classified([found.mean((2, 3)) for found in self.regions(maps, boxes)])

    def mask_features(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Boxes per image -> what the mask predictor sees (N, channels, 7, 7)."""
        return torch.cat(list(self.regions(maps, boxes)))

    def losses(
        self, maps: Sequence[Tensor], proposals: Sequence[Tensor], targets: Sequence[Targets],
        contents: Sequence[Size],
    ) -> dict[str, Tensor]:  # fmt: skip
        """See RoIHeads; `res5` sees each sampled region once, for the box and for the mask."""
        sampled = self.sample_regions(proposals, targets)
        features = self.mask_features(maps, [s.boxes for s in sampled])
        logits, deltas = self._classified([features.mean((2, 3))])
        learned = [self.learned(regions) for regions in sampled]
        of = self.classes[torch.cat([regions.labels for regions in learned])]
        masks = self.mask_logits(features[torch.cat([s.drawn for s in sampled])], of)
        goals = mask_targets(learned, targets, masks.shape[-1], self.conventions)
        return {**self.class_and_box(logits, deltas, sampled), "mask": mask_loss(masks, goals)}

    def _classified(self, means: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The mean features (n, channels) of the regions -> class logits (N, K) and deltas
        (N, K * 4), float32."""
        logits, deltas = self.box_predictor(torch.cat(list(means)))
        return logits.float(), deltas.float()


def c4(
    info: ModelInfo, body: ResNet, *, width: int = 256, conventions: Conventions = SINGLE
) -> TwoStage:
    """C4 of a body of bottlenecks, whose last stage becomes `res5`; masks have `width` channels."""
    positions, (inputs, outputs) = len(info.categories) + 1, body.channels[-2:]
    roi_heads = Res5Heads(
        body.take_last(),
        FastRCNNPredictor(outputs, positions),
        MaskRCNNPredictor(outputs, width, positions),
        conventions=conventions,
        classes=range(1, positions),
    )
    return _assembled(info, body, inputs, roi_heads)


def dc5(
    info: ModelInfo,
    body: ResNet,
    *,
    width: int = 256,
    hidden: int = 1024,
    conventions: Conventions = SINGLE,
) -> TwoStage:
    """DC5 of a body of bottlenecks; see `fpn_heads` for `width` and `hidden`."""
    positions, inputs = len(info.categories) + 1, body.channels[-1]
    body.dilate_last()
    roi_heads = RoIHeads(
        TwoMLPHead(inputs * 7 * 7, hidden),
        FastRCNNPredictor(hidden, positions),
        MaskRCNNHeads(inputs, (width,) * 4, 1),
        mask_predictor(width, positions),
        conventions=conventions,
        classes=range(1, positions),
    )
    return _assembled(info, body, inputs, roi_heads)


def _assembled(info: ModelInfo, body: ResNet, channels: int, roi_heads: RoIHeads) -> TwoStage:
    anchors = len(roi_heads.conventions.anchor_sizes) * len(RATIOS)
    return TwoStage(
        info,
        backbone=LastMap(body),
        rpn_head=RPNHead(channels, anchors),
        roi_heads=roi_heads,
    )
