"""The mask branch: features of the whole image, from which all masks are computed."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from segcli_blocks.towers import prior
from segcli_blocks.upsample import aligned_bilinear
from segcli_condinst.masks import FEATURES


class MaskBranch(nn.Module):
    """P3 to P5 -> mask features (B, 8, h, w); with `classes` also semantic logits for training."""

    def __init__(self, inputs: int, width: int, *, classes: int | None = None) -> None:
        super().__init__()
        self.refine = nn.ModuleList(_block(inputs, width) for _ in range(3))
        self.tower = nn.Sequential(
            *(_block(width, width) for _ in range(4)), nn.Conv2d(width, FEATURES, 1)
        )
        convolutions = [m for m in self.modules() if isinstance(m, nn.Conv2d)]
        if classes is not None:
            self.seg_head = nn.Sequential(_block(inputs, width), _block(width, width))
            self.logits = nn.Conv2d(width, classes, 1)
            convolutions += [m for m in self.seg_head.modules() if isinstance(m, nn.Conv2d)]
            prior(self.logits)
        for conv in convolutions:
            nn.init.kaiming_uniform_(conv.weight, a=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Section 3.2: the coarser maps are upsampled onto the finest and added."""
        x = self.refine[0](maps[0])
        for level in (1, 2):
            x = x + aligned_bilinear(self.refine[level](maps[level]), 2**level)
        features: Tensor = self.tower(x)
        return features

    def semantic(self, finest: Tensor) -> Tensor:
        """P3 -> class logits (B, C, h, w)."""
        logits: Tensor = self.logits(self.seg_head(finest))
        return logits


class _Norm(nn.BatchNorm2d):
    """BatchNorm that trusts its running statistics where a map has one value a channel."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


def _block(inputs: int, width: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
    return nn.Sequential(conv, _Norm(width), nn.ReLU(inplace=True))
