"""Write masks as PNG: maps of categories or of instances, or a file for every mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segcli.annotations import png
from segcli.annotations.losses import Losses
from segcli.annotations.one_each import SHORTENED, require_own, write_each
from segcli.annotations.paths import apart_from_images, beside, fitting, stamp
from segcli.annotations.selection import Selection
from segcli.errors import UsageError
from segcli.files import write_bytes
from segcli.masks import rle
from segcli.store import read_roots
from segcli.store.image_masks import ImageMasks

_INSTANCES = 65_535  # what 16 bits can number


def write_png(selection: Selection, out: Path, *, kind: str) -> Losses:
    """`kind` classes: palette index = category + 1; instances: 16 bits, 1 = the best mask;
    binary: a file of one bit per mask, NAME/000-category.png. The best mask lies on top."""
    apart_from_images(out, read_roots(selection.path))
    if kind == "binary":
        return _write_binary(selection, out)
    colours = png.distinct_colours(len(selection.ids) + 1)
    label = {name: i for i, name in enumerate(selection.ids, 1)}
    if kind == "classes" and len(colours) > 256:
        raise UsageError("a palette has 256 colours, the run more categories; give --png instances")

    def content(image: ImageMasks, tally: Losses) -> bytes:
        if len(image.masks) > _INSTANCES:
            raise UsageError(f"{image.name!r} has more than {_INSTANCES} masks; give --png binary")
        drawn = np.zeros(image.size, np.uint16)
        for place, mask in reversed(list(enumerate(image.masks, 1))):
            inside = rle.decode(mask.rle, *image.size)
            if (drawn[inside] > 0).any():
                tally.lost("{} masks cover another one in part, which a label map cannot keep")
            drawn[inside] = place if kind == "instances" else label[mask.category]
        if kind == "instances":
            return png.grey(drawn)
        return png.indexed(drawn.astype(np.uint8), colours)

    return write_each(selection, out, ".png", content)


def _write_binary(selection: Selection, out: Path) -> Losses:
    tally = Losses()
    start = stamp(out)
    for image in tally.counted(selection.with_masks()):
        folder = beside(out, image.name, "")
        require_own(folder, image, selection, out=out, start=start)
        for place, mask in enumerate(image.masks):
            name = mask.category.replace("/", "_").replace("\0", "_")
            inside = rle.decode(mask.rle, *image.size)
            path = folder / fitting(f"{place:03d}-{name}", ".png")
            if not path.stem.endswith(name):
                tally.lost(SHORTENED)
            write_bytes(path, png.binary(inside))
    return tally
