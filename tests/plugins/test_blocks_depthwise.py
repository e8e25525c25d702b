"""The depthwise convolution's gradients against torch's own."""

import pytest
import torch
from torch.nn import functional as F

from segcli_blocks.depthwise import Depthwise, _WithoutCudnn


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


def test_on_a_gpu_torchs_own_kernels_convolve_forward_and_backward(monkeypatch) -> None:
    """As far as a CPU shows it: the gradients are right, and cuDNN is off, but only meanwhile."""
    layer = Depthwise(6, 5, stride=2, padding=2).double()
    x = torch.randn(2, 6, 13, 17, dtype=torch.float64, requires_grad=True)
    wanted = F.conv2d(x, layer.weight, layer.bias, 2, 2, groups=6)
    theirs = torch.autograd.grad(wanted.square().sum(), (x, layer.weight, layer.bias))
    convolve, states = F.conv2d, []

    def watched(*arguments, **options):
        states.append(torch.backends.cudnn.enabled)
        return convolve(*arguments, **options)

    monkeypatch.setattr(F, "conv2d", watched)
    found = layer._by(_WithoutCudnn, x)
    torch.testing.assert_close(found, wanted)
    ours = torch.autograd.grad(found.square().sum(), (x, layer.weight, layer.bias))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
    assert states == [False]
    assert torch.backends.cudnn.enabled


def test_on_a_gpu_frozen_weights_get_no_gradient() -> None:
    layer = Depthwise(4, 3, padding=1)
    layer.weight.requires_grad_(False)
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer._by(_WithoutCudnn, x)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is not None
    assert x.grad.dtype == torch.float32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same() -> None:
    layer = Depthwise(6, 3, padding=1)
    x = torch.randn(2, 6, 13, 17, requires_grad=True)
    wanted = torch.autograd.grad(layer(x).square().sum(), (x, layer.weight))
    layer.cuda()
    moved = x.detach().cuda().contiguous(memory_format=torch.channels_last).requires_grad_()
    found = torch.autograd.grad(layer(moved).square().sum(), (moved, layer.weight))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.cpu(), other, atol=1e-4, rtol=1e-4)
