"""The variants of the family and how each is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segcli.types import ModelInfo
from segcli_blocks import hugging_face
from segcli_blocks.normalize import IMAGENET, Normalize
from segcli_eomt.model import EoMT


@dataclass(frozen=True, slots=True)
class Size:
    """What tells a variant from others: the `side` of the square that it sees, px, the width and
    the heads of its layers, how many there are, and how many of these, the last, see queries."""

    side: int
    width: int = 1024
    heads: int = 16
    layers: int = 24
    with_queries: int = 4
    queries: int = 200
    points: int = 12544  # at which masks are compared in training


SIZES = {"large-640": Size(640), "large-1280": Size(1280)}


def build(info: ModelInfo) -> EoMT:
    """A model with random weights for any variant of the family.

    Raises UsageError when transformers is not installed.
    """
    return assemble(info, SIZES[info.variant])


def assemble(info: ModelInfo, size: Size) -> EoMT:
    """The authors' model of a size."""
    (network,) = hugging_face.load("EomtForUniversalSegmentation")
    return EoMT(
        info,
        network=network(config(size, classes=len(info.categories))),
        normalize=Normalize(*IMAGENET),
    )


def config(size: Size, *, classes: int) -> Any:
    """transformers' configuration of a size."""
    (eomt,) = hugging_face.load("EomtConfig")
    return eomt(
        hidden_size=size.width,
        num_attention_heads=size.heads,
        num_hidden_layers=size.layers,
        num_blocks=size.with_queries,
        num_queries=size.queries,
        image_size=size.side,
        train_num_points=size.points,
        num_labels=classes,
    )
