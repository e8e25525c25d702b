"""Draw masks on their images: pictures, cut-out objects, contact sheets and videos."""

from segcli.viz.images import Images, MissingFile, images_of
from segcli.viz.picture import ShownMask, Style, cutout, draw
from segcli.viz.run import Drawn, VizOptions, visualise
from segcli.viz.select import Wanted, find

__all__ = [
    "Drawn",
    "Images",
    "MissingFile",
    "ShownMask",
    "Style",
    "VizOptions",
    "Wanted",
    "cutout",
    "draw",
    "find",
    "images_of",
    "visualise",
]
