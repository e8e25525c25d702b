"""The toy with a fault for each variant, to test what a run does about it."""

from __future__ import annotations

from dataclasses import replace

from segcli_toy import TINY, convert

from segcli.plugin import Family, Segmenter
from segcli.types import ModelInfo

VARIANTS = {
    name: replace(TINY, family="troubled", variant=name)
    for name in ("slow", "greedy", "huge", "picky", "broken", "crashing")
}


def build(info: ModelInfo) -> Segmenter:
    from segcli_troubled.model import Troubled

    return Troubled(info)


FAMILY = Family(name="troubled", variants=VARIANTS, build=build, convert=convert)
