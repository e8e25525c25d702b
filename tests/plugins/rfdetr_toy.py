"""A narrow RF-DETR, put together as the published ones are."""

from segcli.types import ModelInfo
from segcli_rfdetr.model import RFDETR
from segcli_rfdetr.variants import Size, assemble

SMALL = Size(120, 1, 2, 60, groups=2, width=32, body=24, heads=2, taps=(1, 2, 3, 4))


def build(info: ModelInfo) -> RFDETR:
    return assemble(info, SMALL)
