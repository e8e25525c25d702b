"""GeoJSON: polygons with holes, a file for every image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segcli.annotations.losses import Losses
from segcli.annotations.one_each import write_each
from segcli.annotations.selection import Selection
from segcli.masks.contours import Ring, parts, signed_area
from segcli.store.image_masks import ImageMasks, Mask


def write_geojson(selection: Selection, out: Path) -> Losses:
    """Features in px, y downwards; holes stay holes, several parts a MultiPolygon."""

    def content(image: ImageMasks, tally: Losses) -> bytes:
        name = tally.text(image.name)
        features = [_feature(mask, name, image, selection) for mask in image.masks]
        return json.dumps({"type": "FeatureCollection", "features": features}).encode()

    return write_each(selection, out, ".geojson", content, tracks=True)


def _feature(mask: Mask, name: str, image: ImageMasks, selection: Selection) -> dict[str, Any]:
    found = parts(mask.rle, *image.size)
    polygons = [
        [_closed(part.outer, 1), *(_closed(hole, -1) for hole in part.holes)] for part in found
    ]
    single = len(polygons) == 1
    return {
        "type": "Feature",
        "geometry": {
            "type": "Polygon" if single else "MultiPolygon",
            "coordinates": polygons[0] if single else polygons,
        },
        "properties": {
            "image": name,
            "category": mask.category,
            "category_id": selection.ids[mask.category],
            "score": mask.score,
            "area": mask.area,
            **({} if mask.zones is None else {"zones": list(mask.zones)}),
            **({} if mask.track_id is None else {"track_id": mask.track_id}),
        },
    }


def _closed(ring: Ring, turn: int) -> list[list[int]]:
    """The first corner again at the end; outer rings have a positive area, holes a negative one."""
    own = ring if signed_area(ring) * turn > 0 else ring[::-1]
    return [list(corner) for corner in [*own, own[0]]]
