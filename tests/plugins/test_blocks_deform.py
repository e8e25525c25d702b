"""Deformable convolution: equal to a plain one while its taps stay, and moved by its offsets."""

import torch
from torch.nn import functional as F

from segcli_blocks.deform import DeformConv2d, deform
from segcli_blocks.resnet import FixedStatistics, ResNet, fixed_statistics


@torch.no_grad()
def test_at_first_every_tap_stays_and_counts_half():
    torch.manual_seed(0)
    conv, x = DeformConv2d(3, 4, stride=2), torch.randn(1, 3, 9, 9)
    expected = F.conv2d(x, conv.weight / 2, conv.bias, stride=2, padding=1)
    torch.testing.assert_close(conv(x), expected)


@torch.no_grad()
def test_offsets_move_the_taps_down_then_right():
    conv, x = DeformConv2d(1, 1), torch.randn(1, 1, 6, 6)
    conv.weight.zero_()
    conv.weight[0, 0, 1, 1] = 2.0  # the middle tap alone; its mask is a half
    conv.conv_offset_mask.bias[8] = 1.0  # dy of the middle tap
    torch.testing.assert_close(conv(x)[:, :, :-1], x[:, :, 1:])
    conv.conv_offset_mask.bias[8:10] = torch.tensor([0.0, 1.0])  # dx
    torch.testing.assert_close(conv(x)[..., :-1], x[..., 1:])


def test_which_blocks_are_deformable():
    with torch.device("meta"):
        body = ResNet(101, fixed_statistics)
        deform(body, every=3)
    found = [name for name, part in body.named_modules() if isinstance(part, DeformConv2d)]
    assert len(found) == 11
    assert found[:3] == ["layer2.0.conv2", "layer2.3.conv2", "layer3.0.conv2"]


def test_fixed_statistics_never_change():
    norm = FixedStatistics(2).train()
    norm(torch.full((3, 2, 4, 4), 7.0)).sum().backward()
    assert norm.running_mean.tolist() == [0, 0]
    assert norm.weight.grad is not None
