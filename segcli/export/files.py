"""Formats with a file for every image: YOLO, LabelMe, PNG, GeoJSON."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from segcli.errors import UsageError
from segcli.export import png
from segcli.export.losses import Losses
from segcli.export.paths import apart_from_images, beside, stamp, written_since
from segcli.export.stream import Mask, Picture, Selection
from segcli.files import write_bytes
from segcli.masks import rle
from segcli.masks.contours import Part, Ring, parts, signed_area
from segcli.store import read_roots

_INSTANCES = 65_535  # what 16 bits can number


def write_each(
    selection: Selection, out: Path, suffix: str, content: Callable[[Picture, Losses], bytes]
) -> Losses:
    """A file below `out` for every image, under the image's own name. Raises UsageError when two
    images would share one (a.jpg and a.png in one folder)."""
    tally = Losses()
    start = stamp(out)
    for picture in tally.counted(selection.with_masks()):
        path = beside(out, picture.name, suffix)
        _require_own(path, picture, selection, out=out, start=start)
        write_bytes(path, content(picture, tally))
    return tally


def _require_own(
    path: Path, picture: Picture, selection: Selection, *, out: Path, start: int
) -> None:
    """Raises UsageError when another image of this export has written to `path` before.

    What was written since `start` is ours. No list of all paths is kept, for it would grow with
    the archive; who the other one is gets looked for when it is needed.
    """
    if not written_since(path, start):
        return
    suffix = path.name.removeprefix(beside(out, picture.name, "").name)
    for other in selection.pictures():
        if other.id != picture.id and beside(out, other.name, suffix) == path:
            raise UsageError(
                f"{other.name!r} and {picture.name!r} would both become {path}; export them apart "
                "with --key"
            )


def write_yolo(selection: Selection, out: Path, *, images: Path | None) -> Losses:
    """labels/NAME.txt, a line "class x y x y ..." (sides from 0 to 1) per mask, and data.yaml.

    A mask of several parts, or with holes, is one polygon whose rings are joined by doubled lines
    of no width: nothing is lost for a reader that fills by the even-odd rule.
    """
    names = [name for name, _ in selection.categories if name in selection.wanted]
    index = {i: names.index(n) for i, (n, _) in enumerate(selection.categories) if n in names}

    def lines(picture: Picture, tally: Losses) -> bytes:
        text = []
        for mask in picture.masks:
            rings = _rings(parts(mask.rle, picture.height, picture.width))
            if len(rings) > 1:
                tally.lost("{} masks of several parts or with holes became one joined polygon")
            scale = (picture.width, picture.height)
            numbers = [f"{side / scale[i]:.9g}" for c in _joined(rings) for i, side in enumerate(c)]
            text.append(f"{index[mask.label]} {' '.join(numbers)}\n")
        return "".join(text).encode()

    tally = write_each(selection, out / "labels", ".txt", lines)
    where = "images" if images is None else str(images)
    listed = "".join(f"  {i}: {json.dumps(name)}\n" for i, name in enumerate(names))
    folders = f"path: .\ntrain: {json.dumps(where)}\nval: {json.dumps(where)}\n"
    write_bytes(out / "data.yaml", f"{folders}names:\n{listed}".encode())
    return tally


def _rings(found: list[Part]) -> list[Ring]:
    return [ring for part in found for ring in (part.outer, *part.holes)]


def _joined(rings: list[Ring]) -> Ring:
    """One ring: out to each further ring, around it, and back the same way."""
    first = rings[0]
    joined = [*first]
    for ring in rings[1:]:
        joined += [first[0], *ring, ring[0]]
    return joined + [first[0]] if len(rings) > 1 else joined


def write_labelme(selection: Selection, out: Path, *, images: Path | None) -> Losses:
    """LabelMe json: polygons; a mask of several parts or with holes as LabelMe's shape "mask"."""

    def content(picture: Picture, tally: Losses) -> bytes:
        path = picture.name if images is None else os.path.join(images, picture.name)
        folder = beside(out, picture.name, ".json").parent
        shown = path if images is None else os.path.relpath(path, folder)
        document: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [_shape(mask, picture, selection) for mask in picture.masks],
            "imagePath": shown if images is not None else os.path.basename(path),
            "imageData": None,
            "imageHeight": picture.height,
            "imageWidth": picture.width,
        }
        return json.dumps(document, indent=1).encode()

    return write_each(selection, out, ".json", content)


def _shape(mask: Mask, picture: Picture, selection: Selection) -> dict[str, Any]:
    found = parts(mask.rle, picture.height, picture.width)
    shape: dict[str, Any] = {
        "label": selection.categories[mask.label][0],
        "group_id": None,
        "description": f"{mask.score:.4f}",
        "flags": {},
    }
    if len(found) == 1 and not found[0].holes:
        points = [list(map(float, corner)) for corner in found[0].outer]
        return {**shape, "shape_type": "polygon", "points": points, "mask": None}
    x, y, crop = rle.decode_crop(mask.rle, picture.height, picture.width)
    tall, wide = crop.shape
    corners = [[float(x), float(y)], [float(x + wide - 1), float(y + tall - 1)]]
    encoded = base64.b64encode(png.binary(crop)).decode()
    return {**shape, "shape_type": "mask", "points": corners, "mask": encoded}


def write_geojson(selection: Selection, out: Path) -> Losses:
    """Features in px, y downwards; holes stay holes, several parts a MultiPolygon."""

    def content(picture: Picture, tally: Losses) -> bytes:
        name = tally.text(picture.name)
        features = [_feature(mask, name, picture, selection) for mask in picture.masks]
        return json.dumps({"type": "FeatureCollection", "features": features}).encode()

    return write_each(selection, out, ".geojson", content)


def _feature(mask: Mask, image: str, picture: Picture, selection: Selection) -> dict[str, Any]:
    found = parts(mask.rle, picture.height, picture.width)
    polygons = [
        [_closed(part.outer, 1), *(_closed(hole, -1) for hole in part.holes)] for part in found
    ]
    single = len(polygons) == 1
    name, number = selection.categories[mask.label]
    return {
        "type": "Feature",
        "geometry": {
            "type": "Polygon" if single else "MultiPolygon",
            "coordinates": polygons[0] if single else polygons,
        },
        "properties": {
            "image": image,
            "category": name,
            "category_id": number,
            "score": mask.score,
            "area": mask.area,
        },
    }


def _closed(ring: Ring, turn: int) -> list[list[int]]:
    """The first corner again at the end; outer rings have a positive area, holes a negative one."""
    own = ring if signed_area(ring) * turn > 0 else ring[::-1]
    return [list(corner) for corner in [*own, own[0]]]


def write_png(selection: Selection, out: Path, *, kind: str) -> Losses:
    """`kind` classes: palette index = category + 1; instances: 16 bits, 1 = the best mask;
    binary: a file of one bit per mask, NAME/000-category.png. The best mask lies on top."""
    apart_from_images(out, read_roots(selection.path))
    if kind == "binary":
        return _write_binary(selection, out)
    colours = png.distinct_colours(len(selection.categories) + 1)
    if kind == "classes" and len(colours) > 256:
        raise UsageError("a palette has 256 colours, the run more categories; give --png instances")

    def content(picture: Picture, tally: Losses) -> bytes:
        if len(picture.masks) > _INSTANCES:
            raise UsageError(
                f"{picture.name!r} has more than {_INSTANCES} masks; give --png binary"
            )
        drawn = np.zeros((picture.height, picture.width), np.uint16)
        for place, mask in reversed(list(enumerate(picture.masks, 1))):
            inside = rle.decode(mask.rle, picture.height, picture.width)
            if (drawn[inside] > 0).any():
                tally.lost("{} masks cover another one in part, which a label map cannot keep")
            drawn[inside] = place if kind == "instances" else mask.label + 1
        if kind == "instances":
            return png.grey(drawn)
        return png.indexed(drawn.astype(np.uint8), colours)

    return write_each(selection, out, ".png", content)


def _write_binary(selection: Selection, out: Path) -> Losses:
    tally = Losses()
    start = stamp(out)
    for picture in tally.counted(selection.with_masks()):
        folder = beside(out, picture.name, "")
        _require_own(folder, picture, selection, out=out, start=start)
        for place, mask in enumerate(picture.masks):
            name = selection.categories[mask.label][0].replace("/", "_")
            inside = rle.decode(mask.rle, picture.height, picture.width)
            write_bytes(folder / f"{place:03d}-{name}.png", png.binary(inside))
    return tally
