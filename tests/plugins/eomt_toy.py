"""A narrow EoMT, put together as the published ones are."""

from segcli.types import ModelInfo
from segcli_eomt.model import EoMT
from segcli_eomt.variants import Size, assemble

SMALL = Size(128, width=32, heads=2, layers=3, with_queries=2, queries=12, points=200)


def build(info: ModelInfo) -> EoMT:
    return assemble(info, SMALL)
