"""Dynamic mask heads, and their masks as fields over the content."""

from __future__ import annotations

import torch
from torch import Tensor

from segcli.types import Size
from segcli_blocks.crops import boxes_of
from segcli_blocks.upsample import aligned_bilinear
from segcli_blocks.windows import by_size

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


def cell_fields(probability: Tensor) -> tuple[Tensor, Tensor]:
    """Stride-4 probabilities (n, H/4, W/4) -> fields (n, rows, columns) of the same cells, only
    around those above 1/2, with their extents: the original is interpolated from them in one step.

    The authors first upsample fourfold (see content_fields). Their cell i lies on px 4i + 2, so
    that the px between two cells are on the straight line between them, and interpolating between
    px gives what interpolating between cells does. Only beyond the centre of the content's last px
    they repeat it, where this goes on.
    """
    n, h, w = probability.shape
    if not n:
        return probability.new_zeros((0, 1, 1)), probability.new_zeros((0, 4))
    left, top, right, bottom = boxes_of(probability > 0.5).unbind(1)
    y, rows = top - 1, max(1, int((bottom - top).amax()) + 2)  # with a cell more on each side
    x, columns = left - 1, max(1, int((right - left).amax()) + 2)
    i = (y[:, None] + torch.arange(rows, device=y.device)).clamp(0, h - 1)
    j = (x[:, None] + torch.arange(columns, device=x.device)).clamp(0, w - 1)
    index = (torch.arange(n, device=y.device)[:, None] * h + i)[:, :, None] * w + j[:, None]
    cells = torch.stack((x, y, x + columns, y + rows), 1)
    return probability.reshape(-1)[index], cells * CELL + 0.5


def content_fields(probability: Tensor, content: Size) -> tuple[Tensor, Tensor]:
    """Stride-4 probabilities (n, H/4, W/4) -> fields (n, rows, columns) of canvas px, with extents.

    The authors upsample fourfold and cut out the content; here only a window around the cells
    above 1/2 is computed, a pixel of which no neighbour can be above 1/2 at each side. All windows
    have the size of the largest, filled up with zeros. At the content's edge a window goes one
    pixel beyond it, where the edge is repeated.
    """
    above = probability > 0.5
    y, rows = _window(above.any(2), content[0])
    x, columns = _window(above.any(1), content[1])
    if not len(probability):
        return probability.new_zeros((0, 1, 1)), probability.new_zeros((0, 4))
    height, width = int(rows.amax()), int(columns.amax())
    fields = probability.new_zeros((len(probability), height, width))
    for index in by_size(rows, columns):
        h, w = int(rows[index].amax()), int(columns[index].amax())
        down = _interpolate(probability[index], y[index], h, content[0], 1)
        fields[index, :h, :w] = _interpolate(down, x[index], w, content[1], 2)
    extents = torch.stack((x, y, x + width, y + height), 1).float()
    return fields, extents


def _window(above: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Cells bool (n, k) -> first px (n,) of each window, and its px (n,), at least 1."""
    cell = torch.arange(above.shape[1], device=above.device)
    first = torch.where(above, cell, above.shape[1]).amin(1)
    last = torch.where(above, cell, -1).amax(1)
    # Cell i has a share in px 4i - 1 .. 4i + 5.
    low = (first * CELL - CELL).clamp(max=length)
    high = torch.minimum(last * CELL + 2 * CELL, low.new_tensor(length + 1))
    low = torch.where(low <= 0, -1, low)
    return low, (high - low).clamp(min=1)


def _interpolate(values: Tensor, first: Tensor, count: int, length: int, dim: int) -> Tensor:
    """Aligned bilinear x 4 along `dim` of (n, a, b) at px `first` (n,) .. first + count.

    Px beyond the content's `length` repeat its edge.
    """
    px = first[:, None] + torch.arange(count, device=first.device)
    place = (px.clamp(0, length - 1) - CELL // 2).clamp(min=0) / CELL  # in cells
    low = place.floor()
    share = (place - low).to(values.dtype)
    low = low.long()
    high = (low + 1).clamp(max=values.shape[dim] - 1)
    if dim == 1:
        low, high, share = (t[:, :, None] for t in (low, high, share))
        shape = (-1, -1, values.shape[2])
    else:
        low, high, share = (t[:, None] for t in (low, high, share))
        shape = (-1, values.shape[1], -1)
    before = values.gather(dim, low.expand(shape))
    after = values.gather(dim, high.expand(shape))
    return torch.lerp(before, after, share.expand(shape))
