"""The Deep Watershed Transform (Bai and Urtasun, CVPR 2017) on a feature pyramid, in reading order.

One head predicts the class of every cell of 4 x 4 px. Another predicts, for every px inside an
object, the direction in which the distance to the object's rim grows. From these directions alone,
a small network predicts how far the rim is, as one of 16 levels. Connected px far enough from it
are an object.

Letters: B images, C categories, N objects; h, w cells, H, W px of the canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli.types import Batch, Instances, ModelInfo, Targets
from segcli_blocks import regions
from segcli_blocks.backbone import Backbone
from segcli_blocks.normalize import Normalize
from segcli_blocks.segmenter import BaseSegmenter, Selection, keep_categories
from segcli_blocks.semantic import STRIDE, Merged, head, owners_of, semantic_loss, truth_of
from segcli_watershed.losses import direction_loss, level_loss, unit
from segcli_watershed.masks import Cut, Objects, classes_of, decode
from segcli_watershed.targets import LEVELS, Landscape, landscape


@dataclass(frozen=True, slots=True)
class Options:
    """How objects are cut out of the levels, and the weights of the two losses, that of the classes
    being 1."""

    cut: Cut = Cut()
    direction: float = 0.2
    level: float = 0.2


@dataclass(frozen=True, slots=True)
class Dense:
    """Class `logits` (B, C + 1, h, w), the last one background, and `directions` (B, 2, H, W)."""

    logits: Tensor
    directions: Tensor


class Transform(nn.Module):
    """Unit directions (B, 2, H, W), zero outside objects -> logits of levels (B, 16, H, W).

    All convolutions are at stride 4, on and to 4 x 4 px at a time: the authors' pools halve twice
    and their last layer enlarges fourfold.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (2 * STRIDE**2, width, width, width):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(width, width, 1), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, LEVELS * STRIDE**2, 1))

    def forward(self, directions: Tensor) -> Tensor:
        cells: Tensor = self.layers(F.pixel_unshuffle(directions, STRIDE))
        return F.pixel_shuffle(cells, STRIDE)


class Watershed(BaseSegmenter):
    """Backbone P2..P5, merged at stride 4, heads for classes and directions, and the transform."""

    def __init__(
        self,
        info: ModelInfo,
        *,
        backbone: Backbone,
        width: int,
        normalize: Normalize,
        options: Options,
    ) -> None:
        super().__init__(info, normalize)
        self.backbone = backbone
        self.merged = Merged(width, width)
        self.semantic = head(width, width, len(info.categories) + 1)
        self.direction = head(width, width, 2 * STRIDE**2)
        self.transform = Transform(width)
        self.options = options

    def static(self, x: Tensor) -> list[Tensor]:
        """See segcli.plugin.Compilable: class logits and directions."""
        features = self.merged(self.backbone(x))
        directions = F.pixel_shuffle(self.direction(features), STRIDE)
        return [self.semantic(features).float(), directions.float()]

    def forward(self, batch: Batch) -> Dense:
        return Dense(*self.dense(batch))

    def levels(self, directions: Tensor, inside: Tensor) -> Tensor:
        """Logits (B, 16, H, W) of the levels, from directions and bool (B, H, W)."""
        seen = unit(directions) * inside[:, None]
        found: Tensor = self.transform(seen)
        return found.float() * inside[:, None]

    # Inference.

    def answer(self, batch: Batch, selection: Selection) -> list[Instances]:
        """A score is the mean certainty of the class."""
        dense = self(batch)
        canvas = (batch.pixels.shape[-2], batch.pixels.shape[-1])
        said = [classes_of(logits, canvas) for logits in dense.logits]
        background = len(self.info.categories)
        inside = torch.stack([classes < background for classes, _ in said])
        for image, (height, width) in zip(inside, batch.content_sizes, strict=True):
            image[height:] = False
            image[:, width:] = False
        levels = self.levels(dense.directions, inside).argmax(1)
        return [
            self.detect(level, classes.where(within, background), certain, selection.categories).of(
                content, selection
            )
            for level, within, (classes, certain), content in zip(
                levels, inside, said, batch.content_sizes, strict=True
            )
        ]

    def detect(
        self, levels: Tensor, classes: Tensor, certain: Tensor, categories: frozenset[int] | None
    ) -> Objects:
        """Objects (H, W) of one image, from levels, classes and their probabilities."""
        every = torch.ones(len(self.info.categories), dtype=torch.bool)
        wanted = keep_categories(every, categories).nonzero()[:, 0]
        chosen = torch.full((len(every) + 1,), -1)
        chosen[wanted] = torch.arange(len(wanted))
        compared = chosen[classes.cpu()].numpy()
        objects, which = decode(levels.cpu().numpy(), compared, [self.options.cut] * len(wanted))
        count = len(which)
        ids = torch.from_numpy(objects).to(certain.device)
        area = ids.flatten().bincount(minlength=count + 1)[1:]
        total = ids.flatten().bincount(certain.flatten(), minlength=count + 1)[1:]
        return Objects(
            ids=ids,
            scores=(total / area.clamp(min=1)).float(),
            labels=wanted[torch.from_numpy(which)].to(ids.device),
            boxes=torch.from_numpy(regions.boxes(objects, count)).to(ids.device),
        )

    # Training.

    def losses(self, batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """See segcli.plugin.Trainable: classes, directions and levels, all at once. Levels are
        learnt from the directions as they are found, inside the true objects."""
        dense = self(batch)
        classes = len(self.info.categories)
        owners = [owners_of(target, stride=1)[0] for target in targets]
        lands = [landscape(owner.cpu().numpy() + 1) for owner in owners]
        device = dense.logits.device
        inside = torch.stack(owners) >= 0
        wanted = Landscape(
            *(torch.stack([getattr(x, n) for x in lands]).to(device) for n in Landscape.__slots__)
        )
        levels = self.levels(dense.directions, inside)
        direction = direction_loss(dense.directions, wanted.direction, inside, wanted.weight)
        level = level_loss(levels, wanted.level, inside, wanted.weight)
        return {
            "semantic": semantic_loss(dense.logits, [truth_of(t, classes) for t in targets]),
            "direction": self.options.direction * direction,
            "level": self.options.level * level,
        }
