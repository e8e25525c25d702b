"""The parts of the light variants: an EfficientNet-Lite body under depthwise-separable pyramid and
heads.

A 3x3 convolution of 128 channels costs 147,000 multiplications a cell, a depthwise one with a
pointwise one after it 17,500 (Howard et al. 2017, MobileNets, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import TwoMLPHead

from segcli.types import ModelInfo
from segcli_blocks.depthwise import Depthwise
from segcli_blocks.efficientnet_lite import PIXELS, EfficientNetLite
from segcli_blocks.rcnn.box_head import agnostic_box_predictor
from segcli_blocks.rcnn.conventions import LIGHT
from segcli_blocks.rcnn.mask_head import mask_predictor
from segcli_blocks.rcnn.two_stage import RoIHeads, TwoStage

WIDTH = 128  # channels of pyramid and mask head
LITE = replace(LIGHT, mean=PIXELS[0], std=PIXELS[1])
_HIDDEN = 480  # of the box head, where the pyramid has WIDTH channels
_RATIOS = 3  # anchors of a cell


class Separable(nn.Sequential):
    """A depthwise convolution, then a pointwise one; both with bias, and no norm."""

    def __init__(self, channels: int, kernel: int) -> None:
        depthwise = Depthwise(channels, kernel, padding=kernel // 2)
        super().__init__(depthwise, nn.Conv2d(channels, channels, 1))
        _nearly_identity(depthwise)
        nn.init.kaiming_uniform_(self.pointwise.weight, a=1)
        _clear_bias(self.pointwise)

    @property
    def pointwise(self) -> nn.Conv2d:
        found = self[1]
        assert isinstance(found, nn.Conv2d)
        return found


class SeparablePyramid(nn.Module):
    """FPN (Lin et al. 2017) with separable output convolutions and a fifth map by subsampling."""

    def __init__(self, body: EfficientNetLite, width: int) -> None:
        super().__init__()
        self.body = body
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in body.channels)
        self.outputs = nn.ModuleList(Separable(width, 3) for _ in body.channels)
        for lateral in self.laterals:
            assert isinstance(lateral, nn.Conv2d)
            nn.init.kaiming_uniform_(lateral.weight, a=1)
            _clear_bias(lateral)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W), sides a multiple of 32 -> maps of strides 4 to 64, finest first."""
        sides = [lateral(m) for lateral, m in zip(self.laterals, self.body(x), strict=True)]
        for index in range(len(sides) - 2, -1, -1):
            above = F.interpolate(sides[index + 1], size=sides[index].shape[-2:], mode="nearest")
            sides[index] = sides[index] + above
        maps = [output(side) for output, side in zip(self.outputs, sides, strict=True)]
        maps.append(F.max_pool2d(maps[-1], 1, 2, 0))
        return maps

    def freeze_stem(self) -> None:
        """Keep what the body's first layers learned from image classification."""
        self.body.freeze_stem()

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Rescale the laterals so that each gives maps of mean 0 and deviation 1 for the batch x.

        A body with its norms folded in gives maps that differ tenfold in spread.
        """
        for lateral, features in zip(self.laterals, self.body(x), strict=True):
            assert isinstance(lateral, nn.Conv2d)
            assert lateral.bias is not None
            found = F.conv2d(features, lateral.weight)
            mean, deviation = found.mean((0, 2, 3)), found.std((0, 2, 3)).clamp(min=1e-2)
            lateral.weight /= deviation[:, None, None, None]
            lateral.bias.copy_(-mean / deviation)


class SeparableRPNHead(nn.Module):
    """Objectness (B, 3, h, w) and deltas (B, 12, h, w) of every map, with shared weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = Separable(width, 5)
        self.cls_logits = nn.Conv2d(width, _RATIOS, 1)
        self.bbox_pred = nn.Conv2d(width, _RATIOS * 4, 1)
        for layer in (self.cls_logits, self.bbox_pred):
            nn.init.normal_(layer.weight, std=0.01)
            _clear_bias(layer)

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        features = [F.relu(self.conv(m)) for m in maps]
        return [self.cls_logits(x) for x in features], [self.bbox_pred(x) for x in features]


def two_stage(info: ModelInfo, roi_heads: RoIHeads, body: EfficientNetLite, width: int) -> TwoStage:
    """Any second stage with the conventions `LITE` on body, pyramid and proposals of `width`."""
    return TwoStage(
        info,
        backbone=SeparablePyramid(body, width),
        rpn_head=SeparableRPNHead(width),
        roi_heads=roi_heads,
    )


def box_layers(positions: int, width: int = WIDTH) -> tuple[nn.Module, nn.Module]:
    """Box head and predictor for `positions` classes and a single box for all of them."""
    hidden = hidden_for(width)
    return TwoMLPHead(width * 7 * 7, hidden), agnostic_box_predictor(hidden, positions)


def hidden_for(width: int) -> int:
    """Features in the fully connected layers above maps of `width` channels."""
    return _HIDDEN * width // WIDTH


def mask_layers(width: int = WIDTH) -> tuple[nn.Module, nn.Module]:
    """Mask head and predictor with a single mask for all classes."""
    return _mask_head(width), _mask_predictor(width)


def _mask_head(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for kernel in (5, 3, 3, 3):
        layer = Separable(width, kernel)
        nn.init.kaiming_normal_(layer.pointwise.weight, nonlinearity="relu")
        layers += [layer, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _mask_predictor(width: int) -> nn.Sequential:
    """As Mask R-CNN has it; the logits begin near 0, because without norms they would be hot."""
    predictor = mask_predictor(width, 1)
    last = predictor.get_submodule("mask_fcn_logits")
    assert isinstance(last, nn.Conv2d)
    nn.init.normal_(last.weight, std=0.001)
    _clear_bias(last)
    return predictor


def _nearly_identity(depthwise: nn.Conv2d) -> None:
    """So that a layer begins by passing on what the maps below it say."""
    nn.init.normal_(depthwise.weight, std=0.1 / depthwise.kernel_size[0])
    middle = depthwise.kernel_size[0] // 2
    with torch.no_grad():
        depthwise.weight[:, :, middle, middle] += 1
    _clear_bias(depthwise)


def _clear_bias(layer: nn.Conv2d) -> None:
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
