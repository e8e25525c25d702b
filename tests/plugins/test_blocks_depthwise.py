"""The depthwise convolution's gradients against torch's own."""

import pytest
import torch
from torch.nn import functional as F

from segcli_blocks.depthwise import Depthwise


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (5, 1, 2), (3, 2, 0), (5, 2, 0)]
)
@pytest.mark.parametrize("size", [(13, 17), (12, 8)])
def test_gradients_equal_those_of_an_ordinary_convolution(kernel, stride, padding, size) -> None:
    torch.manual_seed(0)
    layer = Depthwise(6, kernel, stride=stride, padding=padding).double()
    x = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    wanted = F.conv2d(x, layer.weight, layer.bias, stride, padding, groups=6)
    found = layer(x)
    torch.testing.assert_close(found, wanted)
    probe = torch.randn_like(wanted)
    leaves = (x, layer.weight, layer.bias)
    ours = torch.autograd.grad((found * probe).sum(), leaves)
    theirs = torch.autograd.grad((wanted * probe).sum(), leaves)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_it_learns_under_autocast_and_leaves_frozen_weights_alone() -> None:
    layer = Depthwise(4, 5, padding=2)
    layer.weight.requires_grad_(False)
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is not None
    assert x.grad.dtype == torch.float32
