"""Masks as COCO run lengths: write, read, measure and check them, with pycocotools.mask.

The run lengths of a mask of (height, width) px go column by column, top to bottom and left to
right: the number of pixels outside, then inside, and so on. An RLE here is COCO's compressed text
of these counts, as bytes, without the size of the mask. Nothing here imports torch.
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
from segcli.masks.rle.overlap import ious, moved
from segcli.masks.rle.regions import lower_edges, shares_inside
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
    "ious",
    "lower_edges",
    "moved",
    "place",
    "runs_to_boxes",
    "shares_inside",
    "to_box",
    "union",
]
