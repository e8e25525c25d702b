"""Export outputs to the formats of other tools, and import annotations as outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from segcli.annotations.coco_writer import write_instances, write_results
from segcli.annotations.cvat import write_cvat
from segcli.annotations.geojson import write_geojson
from segcli.annotations.labelme_writer import write_labelme
from segcli.annotations.losses import Losses
from segcli.annotations.mot import write_mot
from segcli.annotations.one_each import Place
from segcli.annotations.selection import Selection, select
from segcli.annotations.yolo import write_yolo
from segcli.export.placing import place_images
from segcli.export.png_masks import write_png

__all__ = ["FORMATS", "WITH_IMAGES", "Choices", "Selection", "Losses", "place_images", "select"]


@dataclass(frozen=True, slots=True)
class Choices:
    """What some formats leave open: polygons or RLE (coco), the kind of PNG, where the images are
    (yolo, labelme), whether they are placed there (`place_images`), and what is compared
    (coco-results: "segm", "bbox", "keypoints")."""

    polygons: bool = False
    png: str = "classes"
    images: Path | None = None
    place: Place | None = None
    iou: str = "segm"


Writer = Callable[[Selection, Path, Choices], Losses]

FORMATS: Mapping[str, Writer] = MappingProxyType(
    {
        "coco": lambda s, out, c: write_instances(s, out, polygons=c.polygons),
        "coco-results": lambda s, out, c: write_results(s, out, iou=c.iou),
        "yolo": lambda s, out, c: write_yolo(s, out, images=c.images, place=c.place),
        "labelme": lambda s, out, c: write_labelme(s, out, images=c.images, place=c.place),
        "cvat": lambda s, out, _: write_cvat(s, out),
        "png": lambda s, out, c: write_png(s, out, kind=c.png),
        "geojson": lambda s, out, _: write_geojson(s, out),
        "mot": lambda s, out, _: write_mot(s, out, masks=False),
        "mots": lambda s, out, _: write_mot(s, out, masks=True),
    }
)
"""The formats of `segcli export --to`."""

WITH_IMAGES = ("yolo", "labelme")
"""Formats whose readers look for the images next to the labels."""
