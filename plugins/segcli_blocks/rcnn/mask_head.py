"""The mask head: a 28 x 28 grid for each class of each region."""

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


def whole_px_without_rim(
    fields: Tensor, boxes: Tensor, content: Size, image: Size
) -> tuple[Tensor, Tensor]:
    """How mmdetection 1 pastes masks: as `whole_px`, but fields end at their boxes, with the values
    of their outermost cells up to the edge.

    The fields are enlarged, because the zeros beyond a grid reach half a cell into it; ninefold,
    because with an odd number the old centres stay centres and nothing else changes.
    """
    scale = boxes.new_tensor([image[1] / content[1], image[0] / content[0]] * 2)
    first, last = (boxes * scale).trunc().chunk(2, 1)
    end = first + (last - first + 1).clamp(min=1)
    fine = F.interpolate(fields[:, None], scale_factor=9, mode="bilinear")[:, 0]
    return fine, torch.cat((first, end), 1) / scale
