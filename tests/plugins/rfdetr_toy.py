"""A narrow RF-DETR, put together as the published ones are."""

from dataclasses import replace

from segcli.types import ModelInfo, Resize
from segcli_rfdetr.model import RFDETR
from segcli_rfdetr.variants import Size, assemble

SMALL = Size(120, 1, 2, 60, groups=2, width=32, body=24, heads=2, taps=(1, 2, 3, 4))


def build(info: ModelInfo) -> RFDETR:
    """For a square of the side that its position embeddings are for, as the published ones."""
    return assemble(replace(info, resize=Resize(SMALL.side, SMALL.side, "stretch")), SMALL)
