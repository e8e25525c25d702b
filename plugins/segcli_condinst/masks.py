"""Dynamic mask heads, and their masks as fields over the content."""

from __future__ import annotations

import torch
from torch import Tensor

from segcli_blocks.boxes import tight_boxes
from segcli_blocks.upsample import aligned_bilinear
from segcli_blocks.windows import Windows

FEATURES = 8  # channels of the mask branch
LAYERS = ((FEATURES + 2, 8), (8, 8), (8, 1))  # inputs and outputs of the 1x1 convolutions
PARAMETERS = sum(i * o for i, o in LAYERS) + sum(o for _, o in LAYERS)  # 169
CELL = 4  # canvas px: the stride at which masks become probabilities


def layers_of(parameters: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(n, 169) -> weights (n, outputs, inputs) and biases (n, outputs) of the three layers.

    All weights come first, then all biases.
    """
    sizes = [i * o for i, o in LAYERS] + [o for _, o in LAYERS]
    parts = torch.split(parameters, sizes, 1)
    return [
        (parts[k].reshape(len(parameters), o, i), parts[len(LAYERS) + k])
        for k, (i, o) in enumerate(LAYERS)
    ]


def mask_logits(
    features: Tensor, grid: Tensor, parameters: Tensor, *, xy: Tensor, size: Tensor
) -> Tensor:
    """Eq. 1: n objects of one image -> logits (n, 2h, 2w) at stride 4.

    `features` (8, h, w) at stride 8 and `grid` (2, h, w), the px x and y of its cells; an object
    stands at `xy` (n, 2) px and sees the cells relative to itself, in units of `size` (n,) px.
    """
    n, (_, h, w) = len(parameters), features.shape
    with torch.autocast(features.device.type, enabled=False):  # coordinates need float32
        (weight, bias), (weight2, bias2), (weight3, bias3) = layers_of(parameters.float())
        # relative = (xy - grid) / size goes through the first layer in two parts, so that the
        # features are multiplied for all objects at once, without a copy for each.
        spatial = weight[:, :, :2] / size[:, None, None]  # (n, 8, 2)
        first = torch.cat((-spatial, weight[:, :, 2:]), 2).flatten(0, 1)  # (n * 8, 10)
        seen = torch.cat((grid, features.float())).flatten(1)  # (10, h * w)
        own = bias + (spatial @ xy[:, :, None])[..., 0]  # (n, 8)
        x = (first @ seen).view(n, LAYERS[0][1], h * w) + own[:, :, None]
        x = torch.baddbmm(bias2[:, :, None], weight2, x.relu())
        x = torch.baddbmm(bias3[:, :, None], weight3, x.relu())  # (n, 1, h * w)
        return aligned_bilinear(x.view(n, 1, h, w), 2)[:, 0]


def windows(probability: Tensor) -> tuple[Tensor, Tensor]:
    """Stride-4 probabilities (n, H/4, W/4) -> fields (n, rows, columns) of the same cells, only
    around those above 1/2, with their extents: the original is interpolated from them in one step.

    The authors first upsample fourfold. Their cell i is at px 4i + 2, so that the px between two
    cells are on the straight line between them, and interpolating between px gives what
    interpolating between cells does. Only beyond the centre of the content's last px they repeat
    it, where this goes on.
    """
    where = Windows.around(tight_boxes(probability > 0.5), probability.shape[-2:])
    return where.of(probability), where.extents(CELL, shift=0.5)
