"""CVAT's own XML 1.1 "for images", with masks as run lengths: nothing is lost."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from segcli.annotations.losses import Losses
from segcli.annotations.paths import one_file
from segcli.annotations.selection import Selection
from segcli.masks import rle
from segcli.store.image_masks import ImageMasks, Mask


def write_cvat(selection: Selection, out: Path) -> Losses:
    """One file for the whole output; CVAT matches its images by name."""
    tally = Losses()
    quiet = Losses()  # the names of labels are counted once, where they are listed
    labels = {name: quiet.xml(name) for name in selection.ids}
    with one_file(out) as file:
        file.write(
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        )
        file.write(_meta(selection, tally))
        for number, image in enumerate(tally.counted(selection.with_masks())):
            name = tally.xml(image.name)
            file.write(
                f'<image id="{number}" name={quoteattr(name)} '
                f'width="{image.width}" height="{image.height}">\n'
            )
            for mask in image.masks:
                file.write(_mask(mask, image, labels[mask.category]))
            file.write("</image>\n")
        file.write("</annotations>\n")
    return tally


def _meta(selection: Selection, tally: Losses) -> str:
    """What a task is called and which labels it has: some readers insist on it."""
    labels = "".join(
        f"<label><name>{_escaped(tally.xml(name))}</name><type>mask</type><attributes></attributes></label>\n"
        for name in selection.names
    )
    size = sum(1 for _ in selection.images())
    return (
        f"<meta><task><name>{_escaped(tally.xml(selection.path.name))}</name><size>{size}</size>"
        f"<mode>annotation</mode>\n<labels>\n{labels}</labels></task></meta>\n"
    )


def _mask(mask: Mask, image: ImageMasks, label: str) -> str:
    """Runs go row by row through the mask's tight box, outside first."""
    x, y, crop = rle.decode_crop(mask.rle, *image.size)
    flat = crop.ravel()
    cuts = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate(([0], cuts, [len(flat)]))).tolist()
    runs = [0, *runs] if flat[0] else runs
    tall, wide = crop.shape
    return (
        f'<mask label={quoteattr(label)} source="auto" occluded="0" '
        f'rle="{", ".join(map(str, runs))}" left="{x}" top="{y}" width="{wide}" '
        f'height="{tall}" z_order="0"></mask>\n'
    )


def _escaped(text: str) -> str:
    """Text of an element; a parser would read a bare carriage return as a line feed."""
    return escape(text, {"\r": "&#13;"})
