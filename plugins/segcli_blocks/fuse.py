"""Rewrite a network for inference in reduced precision: fold norms, cast weights once."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from segcli_blocks.depthwise import Depthwise
from segcli_blocks.rcnn.roi_pool import Pooler

_NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)
_CAST = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear, Depthwise)


def fuse(network: nn.Module, dtype: torch.dtype) -> None:
    """Fold the norms of `network` (in eval mode), keep its weights in `dtype`, and pool regions by
    rows, for good.

    Autocast would cast the same weights at every call, and frozen norms would answer in float32.
    """
    fold_norms(network)
    cast_weights(network, dtype)
    for module in network.modules():
        if isinstance(module, Pooler):
            module.by_rows = True


@torch.no_grad()
def fold_norms(network: nn.Module) -> None:
    """Every BatchNorm that is registered right after a convolution becomes part of it.

    This trusts that it is also called right after it, as in torchvision's blocks and in every
    nn.Sequential. The output changes by rounding only.
    """
    for parent in list(network.modules()):
        children = list(parent.named_children())
        for (name, conv), (next_name, norm) in zip(children, children[1:], strict=False):
            if type(conv) is nn.Conv2d and isinstance(norm, _NORMS):
                setattr(parent, name, _folded(conv, norm))
                setattr(parent, next_name, nn.Identity())


def cast_weights(network: nn.Module, dtype: torch.dtype) -> None:
    """Weights and biases of convolutions and linear layers, exactly these, to `dtype`.

    Subclasses may have reasons of their own to compute in float32.
    """
    for module in network.modules():
        if type(module) in _CAST:
            module.to(dtype).requires_grad_(False)


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """The convolution whose output is that of `norm` after `conv`."""
    gain, shift = _affine(norm)
    bias = torch.zeros_like(shift) if conv.bias is None else conv.bias
    conv.weight.mul_(gain[:, None, None, None])
    conv.bias = nn.Parameter(bias * gain + shift, requires_grad=False)
    return conv


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(gain, shift), each (C,): what a norm with fixed statistics, frozen or not, does."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    gain = (variance + norm.eps).rsqrt()
    if norm.weight is None:
        return gain, -mean * gain
    gain = gain * norm.weight
    return gain, norm.bias - mean * gain
