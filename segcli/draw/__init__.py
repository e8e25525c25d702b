"""Masks drawn on their images: pictures, cut-out objects, contact sheets and videos."""

from segcli.draw.images import Images, source_of
from segcli.draw.picture import Item, Style, cutout, draw
from segcli.draw.run import Drawn, VizOptions, visualise
from segcli.draw.select import Found, Wanted, find

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
