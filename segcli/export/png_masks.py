"""Masks as PNG: maps of categories or of objects, or a file for every mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segcli.annotations import png
from segcli.annotations.losses import Losses
from segcli.annotations.one_each import require_own, write_each
from segcli.annotations.paths import apart_from_images, beside, stamp
from segcli.annotations.selection import Picture, Selection
from segcli.errors import UsageError
from segcli.files import write_bytes
from segcli.masks import rle
from segcli.store import read_roots

_INSTANCES = 65_535  # what 16 bits can number


def write_png(selection: Selection, out: Path, *, kind: str) -> Losses:
    """`kind` classes: palette index = category + 1; instances: 16 bits, 1 = the best mask;
    binary: a file of one bit per mask, NAME/000-category.png. The best mask lies on top."""
    apart_from_images(out, read_roots(selection.path))
    if kind == "binary":
        return _write_binary(selection, out)
    colours = png.distinct_colours(len(selection.categories) + 1)
    if kind == "classes" and len(colours) > 256:
        raise UsageError("a palette has 256 colours, the run more categories; give --png instances")

    def content(picture: Picture, tally: Losses) -> bytes:
        if len(picture.masks) > _INSTANCES:
            raise UsageError(
                f"{picture.name!r} has more than {_INSTANCES} masks; give --png binary"
            )
        drawn = np.zeros((picture.height, picture.width), np.uint16)
        for place, mask in reversed(list(enumerate(picture.masks, 1))):
            inside = rle.decode(mask.rle, picture.height, picture.width)
            if (drawn[inside] > 0).any():
                tally.lost("{} masks cover another one in part, which a label map cannot keep")
            drawn[inside] = place if kind == "instances" else mask.label + 1
        if kind == "instances":
            return png.grey(drawn)
        return png.indexed(drawn.astype(np.uint8), colours)

    return write_each(selection, out, ".png", content)


def _write_binary(selection: Selection, out: Path) -> Losses:
    tally = Losses()
    start = stamp(out)
    for picture in tally.counted(selection.with_masks()):
        folder = beside(out, picture.name, "")
        require_own(folder, picture, selection, out=out, start=start)
        for place, mask in enumerate(picture.masks):
            name = selection.categories[mask.label][0].replace("/", "_").replace("\0", "_")
            inside = rle.decode(mask.rle, picture.height, picture.width)
            write_bytes(folder / f"{place:03d}-{name}.png", png.binary(inside))
    return tally
