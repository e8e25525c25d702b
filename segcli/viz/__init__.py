"""Masks drawn on their images: pictures, cut-out objects, contact sheets and videos."""

from segcli.viz.images import Images, source_of
from segcli.viz.picture import Item, Style, cutout, draw
from segcli.viz.run import Drawn, VizOptions, visualise
from segcli.viz.select import Found, Wanted, find

__all__ = [
    "Drawn",
    "Found",
    "Images",
    "Item",
    "Style",
    "VizOptions",
    "Wanted",
    "cutout",
    "draw",
    "find",
    "source_of",
    "visualise",
]
