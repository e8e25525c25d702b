"""The semantic branch of Hybrid Task Cascade (Chen et al. 2019, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli.types import ModelInfo, Targets
from segcli_blocks.semantic import owners_of
from segcli_blocks.targets import labels_of
from segcli_blocks.towers import init_relu

STRIDE = 8  # of the maps that it gives
CLASSES = 183  # things and stuff of COCO
_FUSED = 1  # the level, P3, whose size the others take


class SemanticHead(nn.Module):
    """P2 to P6 (B, width, ...) -> class logits (B, CLASSES, h, w) and features (B, width, h, w) of
    stride 8, which the second stage sees too."""

    def __init__(self, width: int, classes: int = CLASSES) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(5))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(4))
        self.conv_embedding = nn.Conv2d(width, width, 1)
        self.conv_logits = nn.Conv2d(width, classes, 1)
        init_relu(self)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps, finest first."""
        size = maps[_FUSED].shape[-2:]
        x = F.relu(self.lateral_convs[_FUSED](maps[_FUSED]))
        for level, (lateral, features) in enumerate(zip(self.lateral_convs, maps, strict=True)):
            if level != _FUSED:
                resized = F.interpolate(features, size, mode="bilinear", align_corners=True)
                x = x + F.relu(lateral(resized))
        for conv in self.convs:
            x = F.relu(conv(x))
        return self.conv_logits(x).float(), F.relu(self.conv_embedding(x))


def semantic_loss(logits: Tensor, targets: Sequence[Targets], info: ModelInfo) -> Tensor:
    """0.2 times the mean cross entropy of logits (B, classes, h, w) over the cells of objects.

    The authors learn from COCO's maps of things and stuff. Instance annotations say nothing of the
    cells between the objects, which do not count here. A category's class is its COCO id less 1, or
    its number where the ids are 0 or too large.
    """
    ids = torch.tensor(info.category_ids, device=logits.device) - 1
    if int(ids.min()) < 0 or int(ids.max()) >= logits.shape[1]:
        ids = torch.arange(len(ids), device=logits.device)
    owners = [owners_of(target, stride=STRIDE)[0] for target in targets]
    wanted = torch.stack(
        [labels_of(ids[t.labels], owner) for t, owner in zip(targets, owners, strict=True)]
    )
    return semantic_error(logits, wanted)


def semantic_error(logits: Tensor, wanted: Tensor) -> Tensor:
    """Of classes i64 (B, h, w), -1 where none counts."""
    each = F.cross_entropy(logits, wanted, ignore_index=-1, reduction="sum")
    return 0.2 * each / (wanted >= 0).sum().clamp(min=1)
