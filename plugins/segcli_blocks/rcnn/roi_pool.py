"""The features of a region: RoIAlign from the pyramid level that fits its size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from segcli_blocks.align import roi_align_rows
from segcli_blocks.rcnn.box_coder import whole
from segcli_blocks.rcnn.conventions import Conventions


class Pooler(nn.Module):
    """RoIAlign from the pyramid level that fits a region's size; FPN eq. 1.

    `by_rows`: on a processor, float32 is computed like bfloat16, in a fifteenth of the time and
    with other rounding (1e-5) than torchvision's kernel.
    """

    by_rows = False

    def __init__(self, size: int, conventions: Conventions) -> None:
        super().__init__()
        self.size = size
        self.conventions = conventions

    def forward(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Maps of strides 4..32, or a single one of the stride `finest`, and boxes (n_b, 4) canvas
        px per image -> (N, channels, s, s).

        float32, but in the maps' own bfloat16 on a processor.
        """
        rois = rois_of(boxes)
        level = self.levels(rois[:, 1:], len(maps))
        chosen = [(level == index).nonzero()[:, 0] for index in range(len(maps))]
        pooled = torch.cat(
            [
                self.align(features, rois[of_level], 1 / self.conventions.finest / 2**index)
                for index, (features, of_level) in enumerate(zip(maps, chosen, strict=True))
            ]
        )
        return pooled[torch.cat(chosen).argsort()]

    def levels(self, boxes: Tensor, count: int) -> Tensor:
        """Which of `count` maps serves each of the boxes (N, 4)."""
        box = whole(boxes, inclusive=self.conventions.inclusive)
        side = ((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])).sqrt()
        level = torch.floor(4 + torch.log2(side / self.conventions.canonical) + 1e-6)
        first = self.conventions.finest.bit_length() - 1  # the level whose stride it is
        return level.clamp(first, first + count - 1).long() - first

    def align(self, features: Tensor, rois: Tensor, scale: float) -> Tensor:
        """Regions (n, 5), image and xyxy px, of one map with `scale` cells a px."""
        ratio, aligned = self.conventions.sampling_ratio, self.conventions.aligned
        if self.conventions.mmdet1:
            # From x1 to x2 + 1 without a shift: what `aligned` takes away is added before.
            half = 0.5 / scale
            rois, aligned = rois + rois.new_tensor([0, half, half, half + 1, half + 1]), True
        by_rows = self.by_rows or features.dtype == torch.bfloat16
        if features.device.type == "cpu" and by_rows and ratio > 0:
            return roi_align_rows(
                features, rois, self.size, scale, sampling_ratio=ratio, aligned=aligned
            )
        # torchvision's has no bfloat16 kernel.
        pooled: Tensor = roi_align(
            features.float().contiguous(),
            rois,
            self.size,
            scale,
            sampling_ratio=ratio,
            aligned=aligned,
        )
        return pooled


def rois_of(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes (n_b, 4) per image -> (N, 5): the image, then xyxy."""
    image = torch.cat([torch.full((len(b), 1), float(i)) for i, b in enumerate(boxes)])
    box = torch.cat(list(boxes))
    return torch.cat((image.to(box), box), dim=1)
