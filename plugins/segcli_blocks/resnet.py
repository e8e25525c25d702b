"""ResNet bodies (He et al. 2016) in the torchvision and in the Caffe style, at any width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1
from torchvision.ops import FrozenBatchNorm2d

Norm = Callable[[int], nn.Module]

_STAGES: dict[int, tuple[type[BasicBlock | Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


class ResNet(nn.Module):
    """The four stages; parameters are named as torchvision names them.

    `caffe`: a stage's stride sits on the first 1x1 of its first block, as in the MSRA and Caffe2
    weights, instead of on the 3x3. `width` is that of the first stage's bottlenecks, `stem` that
    of the first convolution, and `blocks` how many each stage has where not as many as the depth
    says. `groups`: how many of the 3x3 convolutions, and their width (ResNeXt 32x8d: 32, 8).
    `channels` are those of the four maps.
    """

    def __init__(
        self,
        depth: int,
        norm: Norm,
        *,
        caffe: bool = False,
        width: int = 64,
        stem: int | None = None,
        blocks: Sequence[int] | None = None,
        groups: tuple[int, int] = (1, 64),
    ) -> None:
        super().__init__()
        block, counts = _STAGES[depth]
        inputs = stem or width
        self.conv1 = nn.Conv2d(3, inputs, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm(inputs)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        stages = []
        for index, count in enumerate(blocks or counts):
            planes = width * 2**index
            widths, stride = (inputs, planes), 1 + (index > 0)
            stages.append(_stage(block, count, widths, stride=stride, norm=norm, groups=groups))
            inputs = planes * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels = tuple(width * 2**i * block.expansion for i in range(4))
        if caffe and block is Bottleneck:
            for stage in stages[1:]:
                first = stage[0]
                assert isinstance(first, Bottleneck)
                first.conv1.stride, first.conv2.stride = (2, 2), (1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # Variance-keeping at a = 1, so that maps stay of order 1 under frozen norms too.
                nn.init.kaiming_uniform_(module.weight, a=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> four maps of strides 4, 8, 16 and 32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        maps = []
        for *_, stage in self.stages():
            x = stage(x)
            maps.append(x)
        return maps

    def take_last(self) -> nn.Sequential:
        """Remove the last stage and return it; the last map is that of stride 16 then."""
        last = self.layer4
        del self.layer4
        self.channels = self.channels[:-1]
        return last

    def dilate_last(self) -> None:
        """Keep stride 16 in the last stage of bottlenecks: all its 3x3 convolutions are dilated by
        2 instead, and its parameters stay the same."""
        for block in self.layer4:
            assert isinstance(block, Bottleneck)
            block.conv1.stride = block.conv2.stride = (1, 1)
            block.conv2.dilation = block.conv2.padding = (2, 2)
            if block.downsample is not None:
                shortcut = block.downsample.get_submodule("0")
                assert isinstance(shortcut, nn.Conv2d)
                shortcut.stride = (1, 1)

    @torch.no_grad()
    def expect_bytes(self) -> ResNet:
        """Scale random first filters down for pixels of 0 to 255 that are not divided by their
        deviation, so that maps stay of order 1."""
        self.conv1.weight /= 58  # about the deviation of ImageNet's pixels
        return self

    def stages(self) -> list[list[nn.Module]]:
        """See backbone.Body."""
        layers = [layer for name, layer in self.named_children() if name.startswith("layer")]
        return [[self.conv1, self.bn1, layers[0]], *([layer] for layer in layers[1:])]

    def freeze_stem(self) -> None:
        """Take the stem and the first stage out of training, as most published recipes do."""
        for module in (self.conv1, self.bn1, self.layer1):
            module.requires_grad_(False)


def caffe_resnet(depth: int, eps: float = 1e-5) -> ResNet:
    """The body of the models of detectron2, and of maskrcnn-benchmark with `eps` 0: it expects
    pixels from 0 to 255, its norms are frozen, and its stem does not learn."""
    body = ResNet(depth, frozen_norm(eps), caffe=True).expect_bytes()
    body.freeze_stem()
    return body


def frozen_norm(eps: float = 1e-5) -> Norm:
    """BatchNorm with fixed statistics and weights; eps 0 for weights trained without one."""
    return partial(FrozenBatchNorm2d, eps=eps)


class FixedStatistics(nn.BatchNorm2d):
    """BatchNorm that learns its weights but never its statistics."""

    def train(self, mode: bool = True) -> FixedStatistics:
        super().train(False)
        return self


def fixed_statistics(channels: int) -> nn.Module:
    """A norm for weights that were trained with BatchNorm, for batches too small for it."""
    return FixedStatistics(channels).train()


def _stage(
    block: type[BasicBlock | Bottleneck],
    count: int,
    widths: tuple[int, int],
    *,
    stride: int,
    norm: Norm,
    groups: tuple[int, int],
) -> nn.Sequential:
    """`count` blocks; `widths`: what goes into the first, and the planes of each."""
    inputs, planes = widths
    outputs = planes * block.expansion
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(conv1x1(inputs, outputs, stride), norm(outputs))
    first = block(inputs, planes, stride, shortcut, *groups, norm_layer=norm)
    rest = [block(outputs, planes, 1, None, *groups, norm_layer=norm) for _ in range(count - 1)]
    return nn.Sequential(first, *rest)
