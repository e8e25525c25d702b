"""CondInst's masks in its authors' own steps: upsampled fourfold, cut to the content."""

import torch

from segcli.types import Size
from segcli_blocks.upsample import aligned_bilinear
from segcli_condinst.masks import CELL


def content_fields(probability: torch.Tensor, content: Size) -> tuple[torch.Tensor, torch.Tensor]:
    """Stride-4 probabilities (n, H/4, W/4) -> fields (n, h, w) of the content's px, and extents.

    A pixel more on each side repeats the edge, where the authors' last step goes on from it.
    """
    h, w = content
    px = aligned_bilinear(probability[:, None], CELL)[:, :, :h, :w]
    fields = torch.nn.functional.pad(px, (1, 1, 1, 1), mode="replicate")[:, 0]
    extents = torch.tensor([-1.0, -1.0, w + 1, h + 1]).expand(len(fields), 4)
    return fields, extents
