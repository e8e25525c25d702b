"""Folded norms and cast weights give the network's own answers."""

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from segcli_blocks.fuse import cast_weights, fold_norms
from segcli_blocks.resnet import ResNet, fixed_statistics, frozen_norm


def lively(network: nn.Module) -> nn.Module:
    """Norms that do something, in eval mode."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
            for values in (module.running_var, module.weight):
                nn.init.uniform_(values, 0.5, 1.0)
            for values in (module.running_mean, module.bias):
                nn.init.normal_(values)
    return network.eval()


@torch.no_grad()
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, frozen_norm(), fixed_statistics])
@pytest.mark.parametrize("depth", [18, 50])
def test_folding_a_resnet_changes_rounding_only(depth, norm) -> None:
    network = lively(ResNet(depth, norm, width=8, blocks=(1, 1, 1, 1)))
    image = torch.randn(1, 3, 64, 64)
    expected = network(image)
    fold_norms(network)
    assert not any(isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d) for m in network.modules())
    for found, wanted in zip(network(image), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_bias_and_a_norm_without_weights_are_folded() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0, affine=False)).eval()
    nn.init.constant_(network[0].weight, 3.0)
    nn.init.constant_(network[0].bias, 1.0)
    network[1].running_mean.fill_(5.0)
    network[1].running_var.fill_(4.0)
    fold_norms(network)
    assert network(torch.full((1, 1, 1, 1), 2.0)).item() == 1.0  # (3 * 2 + 1 - 5) / 2


def test_a_norm_elsewhere_stays() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1), nn.ReLU(), nn.BatchNorm2d(2))
    fold_norms(network)
    assert [type(m).__name__ for m in network] == ["BatchNorm2d", "Conv2d", "ReLU", "BatchNorm2d"]


class OwnConvolution(nn.Conv2d):
    """Of a family that computes in float32 for its own reasons."""


def test_weights_are_cast_but_those_of_subclasses() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), OwnConvolution(1, 1, 1), nn.GroupNorm(1, 1))
    cast_weights(network, torch.bfloat16)
    dtypes = [parameter.dtype for parameter in network.parameters()]
    assert dtypes == [torch.bfloat16] * 2 + [torch.float32] * 4


@torch.inference_mode()
def test_cast_weights_answer_as_autocast_does() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 4, 2, 2))
    image = torch.randn(1, 3, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        expected = network(image)
        cast_weights(network, torch.bfloat16)
        assert torch.equal(network(image), expected)
