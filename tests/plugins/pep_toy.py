"""What PEP's tests share: descriptors by hand, and a narrow model."""

from dataclasses import replace

import torch
from torch import nn

from segcli_blocks.normalize import IMAGENET, Normalize
from segcli_blocks.resnet import ResNet
from segcli_pep import FAMILY
from segcli_pep.model import PEP, Options
from segcli_pep.perceive import Descriptors
from segcli_pep.targets import Sampling
from segcli_pep.variants import assemble, ranges_for


def descriptors(places, *, width=4, labels=None, scores=None) -> Descriptors:
    """Random vectors at `places`: (level, row, column) each."""
    n = len(places)
    level, row, column = torch.tensor(places, dtype=torch.int64).reshape(n, 3).T
    return Descriptors(
        torch.randn(n, width, generator=torch.Generator().manual_seed(1)),
        torch.tensor(labels or [0] * n),
        torch.tensor(scores or [0.5] * n),
        level,
        row,
        column,
    )


def levels(channels: int, *, first: int = 8) -> list[torch.Tensor]:
    """Zero maps (1, channels, h, w) of five levels, the finest `first` square."""
    return [torch.zeros(1, channels, max(1, first >> i), max(1, first >> i)) for i in range(5)]


def toy(classes: int, *, excavate: bool = True, purify: bool = True) -> PEP:
    """A narrow model with ordinary norms, which learns fast."""
    names = tuple(str(i) for i in range(classes))
    info = replace(FAMILY.variants["r50-fpn"], categories=names, category_ids=tuple(range(classes)))
    return assemble(
        info,
        ResNet(18, nn.BatchNorm2d, width=16),
        normalize=Normalize(*IMAGENET),
        options=Options(Sampling(ranges_for(320)), width=64, depth=2, hidden=32, window=9),
        excavate=excavate,
        purify=purify,
    )
