"""The second stage's mask: one 28 x 28 grid for each class of each region."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor

from segcli.types import Size


def mask_predictor(inputs: int, classes: int) -> MaskRCNNPredictor:
    """Upsample twofold, then one mask logit for each of `classes` positions."""
    return MaskRCNNPredictor(inputs, inputs, classes)


def at_class(values: Tensor, of: Tensor, *, agnostic: bool = False) -> Tensor:
    """Of `values` (N, K, ...) those of the class positions `of` (N,): (N, ...). With `agnostic`
    values there is one position for all classes."""
    position = torch.zeros_like(of) if agnostic else of
    return values[torch.arange(len(of), device=of.device), position]


def whole_px(fields: Tensor, boxes: Tensor, content: Size, image: Size) -> tuple[Tensor, Tensor]:
    """How Detectron and maskrcnn-benchmark paste masks: fields with a rim of zeros, and the extents
    (N, 4), canvas px, of their boxes, enlarged likewise and cut to whole px of the original image.

    Fields (N, m, m), inclusive boxes (N, 4) canvas px; `content` and `image`: (height, width) of
    the canvas' content and of the original.
    """
    scale = boxes.new_tensor([image[1] / content[1], image[0] / content[0]] * 2)
    low, high = (boxes * scale).chunk(2, 1)
    m = fields.shape[-1]
    centre, half = (low + high) * 0.5, (high - low) * 0.5 * ((m + 2) / m)
    first, last = (centre - half).trunc(), (centre + half).trunc()
    end = first + (last - first + 1).clamp(min=1)
    return F.pad(fields, (1, 1, 1, 1)), torch.cat((first, end), 1) / scale
