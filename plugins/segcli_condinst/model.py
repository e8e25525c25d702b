"""CondInst (Tian, Shen, Chen 2020), in reading order.

Every location proposes an object: class, box, centerness (FCOS), and 169 numbers, the weights of
three 1x1 convolutions that turn 8 mask features and the position relative to the object into its
mask.

Letters: B images, L locations of all levels, C categories, n objects; h, w at stride 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image

from segcli.types import Batch, Instances, ModelInfo, Size, Targets
from segcli_blocks import fcos, fcos_losses
from segcli_blocks.backbone import Backbone
from segcli_blocks.normalize import Normalize
from segcli_blocks.segmenter import BaseSegmenter, Selection
from segcli_blocks.towers import conv_at, init_normal
from segcli_condinst.heads import MaskBranch
from segcli_condinst.losses import mask_loss, semantic_loss
from segcli_condinst.masks import PARAMETERS, mask_logits, windows
from segcli_condinst.targets import positives, truth_of

STRIDES = (8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class Options:
    """What the authors' configuration leaves open; the defaults are theirs."""

    per_level: int = 1000  # candidates kept before suppression
    iou: float = 0.6  # above which a detection suppresses another of its class


@dataclass(frozen=True, slots=True)
class Raw:
    """The network's outputs: FCOS's `dense` part, mask `features` (B, 8, h, w), the locations
    `points`, and the `finest` map P3, from which semantics are learnt."""

    dense: fcos.Dense
    features: Tensor
    points: fcos.Points
    finest: Tensor


class CondInst(BaseSegmenter):
    """Backbone, FCOS head, controller and mask branch.

    The buffer `sizes_of_interest` (5,) px, which published checkpoints hold, is both the size limit
    of the objects of the first four levels and the unit of relative positions.
    """

    sizes_of_interest: Tensor

    def __init__(
        self,
        info: ModelInfo,
        *,
        backbone: Backbone,
        head: fcos.FCOSHead,
        mask_branch: MaskBranch,
        normalize: Normalize,
        options: Options,
    ) -> None:
        super().__init__(info, normalize)
        self.backbone = backbone
        self.fcos = head
        self.controller = nn.Conv2d(head.bbox_pred.in_channels, PARAMETERS, 3, padding=1)
        init_normal(self.controller)
        self.mask_branch = mask_branch
        self.options = options
        self.register_buffer("sizes_of_interest", torch.tensor([64, 128, 256, 512, 1024]))

    def static(self, x: Tensor) -> list[Tensor]:
        """See segcli.plugin.Compilable: FCOS's outputs, the mask features, and P3."""
        maps = self.backbone(x)
        return [*self.fcos(maps).tensors, self.mask_branch(maps), maps[0]]

    def forward(self, batch: Batch) -> Raw:
        *tensors, features, finest = self.dense(batch)
        dense = fcos.Dense.of(tensors)
        return Raw(dense, features, self.points(dense.logits), finest)

    def points(self, maps: Sequence[Tensor]) -> fcos.Points:
        """The locations of the maps P3..P7."""
        return fcos.points_of(maps, STRIDES, self.sizes_of_interest[:-1].tolist())

    def parameters_at(
        self, dense: fcos.Dense, points: fcos.Points, image: Tensor, index: Tensor
    ) -> Tensor:
        """The controller's output (n, 169) at locations `index` (n,) of images `image` (n,)."""
        return conv_at(self.controller, fcos.patches_at(dense, points, image, index))

    def masks(
        self, features: Tensor, parameters: Tensor, points: fcos.Points, index: Tensor
    ) -> Tensor:
        """Features (8, h, w) of one image, parameters (n, 169) -> logits (n, 2h, 2w), stride 4."""
        shape = features.shape[-2:]
        grid = points.xy[: shape[0] * shape[1]].T.reshape(2, *shape)  # those of P3
        size = self.sizes_of_interest[points.level[index]].float()
        return mask_logits(features, grid, parameters, xy=points.xy[index], size=size)

    # Inference.

    def answer(self, batch: Batch, selection: Selection) -> list[Instances]:
        """Suppression is per class at IoU 0.6."""
        raw = self(batch)
        dense, points = raw.dense, raw.points
        answers = []
        for b, content in enumerate(batch.content_sizes):
            found = self.detect(dense.image(b), points, selection)
            found = found.at(inside(found.boxes, content))
            image = torch.full_like(found.index, b)
            parameters = self.parameters_at(dense, points, image, found.index)
            logits = self.masks(raw.features[b], parameters, points, found.index)
            answers.append(self.instances(found, logits.sigmoid()))
        return answers

    def detect(
        self, dense: fcos.Dense, points: fcos.Points, selection: Selection
    ) -> fcos.Detections:
        """One image (B = 1), best first; the score is the root of class times centerness."""
        per_level, iou = self.options.per_level, self.options.iou
        return fcos.detect(dense, points, selection, root=True, per_level=per_level, iou=iou)

    def instances(self, found: fcos.Detections, probability: Tensor) -> Instances:
        """Fields at stride 4; the core interpolates the original from them in one step."""
        fields, extents = windows(probability)
        return Instances(
            scores=found.scores,
            labels=found.labels,
            boxes=found.boxes,
            fields=fields,
            extents=extents,
            threshold=0.5,
            strict=True,
        )

    # Training.

    def losses(self, batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """See segcli.plugin.Trainable: classes, boxes, centerness, masks, perhaps semantics."""
        raw = self(batch)
        dense, points = raw.dense, raw.points
        truths = [truth_of(t, points) for t in targets]
        losses = fcos_losses.losses_of(dense, points, truths, targets)
        image, index = positives(truths)
        parameters = self.parameters_at(dense, points, image, index)
        logits = [
            self.masks(each, parameters[image == b], points, index[image == b])
            for b, each in enumerate(raw.features)
        ]
        wanted = [t.masks[t.match[index[image == b]]] for b, t in enumerate(truths)]
        losses["mask"] = mask_loss(torch.cat(logits), torch.cat(wanted))
        if hasattr(self.mask_branch, "logits"):
            semantic = self.mask_branch.semantic(raw.finest).float()
            losses["semantic"] = semantic_loss(semantic, targets)
        return losses


def inside(boxes: Tensor, content: Size) -> Tensor:
    """bool (n,): which boxes (n, 4) have something left within the content."""
    clipped = clip_boxes_to_image(boxes, content)
    return (clipped[:, 2:] > clipped[:, :2]).all(1)
