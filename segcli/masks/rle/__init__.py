"""Masks as COCO run lengths: made, read, measured and checked; the one door to pycocotools.mask.

A mask of (height, width) px is written down column by column, top to bottom, left to right: so
many pixels outside, so many inside, and so on. An RLE here is COCO's compressed text of these
counts, as bytes; its size travels beside it. Nothing imports torch.
"""

from segcli.masks.rle.counts import MAX_PIXELS, check, compress, compress_many, expand
from segcli.masks.rle.mask import (
    area,
    decode,
    decode_crop,
    decode_window,
    encode,
    place,
    runs_to_boxes,
    to_box,
)
from segcli.masks.rle.shapes import from_coco, from_polygons, from_runs, union

__all__ = [
    "MAX_PIXELS",
    "area",
    "check",
    "compress",
    "compress_many",
    "decode",
    "decode_crop",
    "decode_window",
    "encode",
    "expand",
    "from_coco",
    "from_polygons",
    "from_runs",
    "place",
    "runs_to_boxes",
    "to_box",
    "union",
]
