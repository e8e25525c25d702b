"""Outputs in everyone's formats, streamed; and annotations made into outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from segcli.annotations.coco_writer import write_instances, write_results
from segcli.annotations.cvat import write_cvat
from segcli.annotations.geojson import write_geojson
from segcli.annotations.labelme import write_labelme
from segcli.annotations.losses import Losses
from segcli.annotations.selection import Selection, select
from segcli.annotations.yolo import write_yolo
from segcli.export.png_masks import write_png

__all__ = ["FORMATS", "Selection", "Losses", "select"]

Writer = Callable[[Selection, Path, bool, str, Path | None], Losses]
"""(selection, out, polygons, kind of png, where the images lie)"""

FORMATS: Mapping[str, Writer] = MappingProxyType(
    {
        "coco": lambda s, out, polygons, _, __: write_instances(s, out, polygons=polygons),
        "coco-results": lambda s, out, *_: write_results(s, out),
        "yolo": lambda s, out, _, __, images: write_yolo(s, out, images=images),
        "labelme": lambda s, out, _, __, images: write_labelme(s, out, images=images),
        "cvat": lambda s, out, *_: write_cvat(s, out),
        "png": lambda s, out, _, kind, __: write_png(s, out, kind=kind),
        "geojson": lambda s, out, *_: write_geojson(s, out),
    }
)
"""What `segcli export --to` knows."""
