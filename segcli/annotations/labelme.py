"""LabelMe: a JSON file for every image, with shapes."""

from __future__ import annotations

import base64
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from segcli.annotations import png
from segcli.annotations.columns import identity
from segcli.annotations.losses import Losses
from segcli.annotations.one_each import Place, write_each
from segcli.annotations.paths import beside, portable
from segcli.annotations.records import (
    SAME_PICTURE,
    Annotations,
    record,
    require_same_size,
    segment,
)
from segcli.annotations.selection import Selection
from segcli.annotations.texts import read_text
from segcli.errors import ImageError, UsageError
from segcli.images import decode
from segcli.masks import rle
from segcli.masks.contours import parts
from segcli.store.image_masks import ImageMasks, Mask
from segcli.types import Record, Segment

_FLAT = "{} points and lines were left out: they have no area"
_NOT_THERE = (
    "{} images are not where LabelMe looks for them; --copy-images or --link-images places them "
    "next to the files, --images FOLDER refers to another folder"
)
_WITHOUT_AREA = frozenset({"point", "points", "line", "linestrip", "polyline"})
_CORNERS = frozenset({"polygon", "oriented_rectangle", "rotation", "quadrilateral"})


def read_labelme(folder: Path, images: Path | None = None) -> Annotations:
    """Every .json below `folder`; categories are the labels, sorted, numbered from 1.

    Shapes of one label and one group_id are one object. A picture's path is relative to its JSON
    file; keys are relative to `images`, or to `folder`. Raises UsageError, also while the records
    are gone through, naming file and shape.
    """
    paths = sorted(folder.rglob("*.json"))
    if not paths:
        raise UsageError(f"no .json below {folder}; expected LabelMe's, one for each image")
    labels: set[str] = set()
    pictures: dict[str, list[Path]] = {}
    for path in paths:
        document = _json(path)
        labels |= {
            str(shape.get("label"))
            for shape in _shapes(document, path)
            if shape.get("shape_type") not in _WITHOUT_AREA
        }
        pictures.setdefault(_name(document, path, folder, images), []).append(path)
    names = tuple(sorted(labels))
    root = str((images or folder).resolve())
    found = Annotations(root, (names, tuple(range(1, len(names) + 1))), iter(()))
    found.records = _records(pictures, names, found.notes)
    return found


def _name(document: Any, path: Path, folder: Path, images: Path | None) -> str:
    given = str(document.get("imagePath") or path.name)
    inside = path.parent.relative_to(folder).as_posix()
    if "\\" in given and os.path.splitext(given)[0] == path.stem:
        return given if inside == "." else f"{inside}/{given}"  # a name of its own, not of Windows
    if images is not None:
        picture = os.path.realpath(path.parent / given.replace("\\", "/"))
        below = os.path.relpath(picture, images.resolve()).replace(os.sep, "/")
        if not below.startswith("../"):
            return below
    return portable(given, inside) or path.name


def _records(
    pictures: Mapping[str, Sequence[Path]], names: Sequence[str], notes: Counter[str]
) -> Iterator[Record]:
    for name, paths in pictures.items():
        documents = [_json(path) for path in paths]
        sizes = [_size(document, path) for document, path in zip(documents, paths, strict=True)]
        size = require_same_size(name, sizes)
        if len(paths) > 1:
            notes[SAME_PICTURE] += 1
        segments = [
            one
            for document, path in zip(documents, paths, strict=True)
            for one in _segments(_shapes(document, path), path, names, size, notes)
        ]
        yield record(name, *size, segments, notes)


def _segments(
    shapes: Sequence[Mapping[str, Any]],
    path: Path,
    names: Sequence[str],
    size: tuple[int, int],
    notes: Counter[str],
) -> list[Segment]:
    groups: dict[Any, list[bytes]] = {}
    for i, shape in enumerate(shapes):
        kind = shape.get("shape_type") or "polygon"  # LabelMe 3 knew nothing else
        if kind in _WITHOUT_AREA:
            notes[_FLAT] += 1
            continue
        label, group = str(shape.get("label")), shape.get("group_id")
        try:
            text = _mask(kind, shape, *size)
        except (UsageError, ValueError, TypeError) as error:
            raise UsageError(f"{path}: a shape of {label!r}: {error}") from None
        groups.setdefault((label, ("alone", i) if group is None else str(group)), []).append(text)
    return [
        segment(names.index(label), rle.union(texts, *size), *size)
        for (label, _), texts in groups.items()
    ]


def _mask(kind: str, shape: Mapping[str, Any], height: int, width: int) -> bytes:
    points = [float(side) for point in shape.get("points") or () for side in point]
    if kind == "mask":
        return _pasted(shape, points, height, width)
    if kind == "circle":
        return _circle(points, height, width)
    if kind == "rectangle" and len(points) == 4:
        x0, y0, x1, y1 = points
        points = [x0, y0, x1, y0, x1, y1, x0, y1]
    elif kind not in _CORNERS and not (kind == "rectangle" and len(points) == 8):
        raise UsageError(
            f"a {kind!r} of {len(points) // 2} points; expected a polygon, a rectangle, a circle "
            "or a mask"
        )
    return rle.from_polygons([points], height, width)


def _circle(points: Sequence[float], height: int, width: int) -> bytes:
    """From its centre and a point on it, filled as LabelMe fills it: by Pillow."""
    if len(points) != 4 or not all(map(math.isfinite, points)):
        raise UsageError("a circle needs its centre and a point on it")
    x, y, radius = points[0], points[1], math.dist(points[:2], points[2:])
    if max(abs(x), abs(y), radius) > 5 * max(height, width):
        raise UsageError("a circle nowhere near the image; is it another image's?")
    canvas = Image.new("L", (width, height))
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(canvas).ellipse(box, outline=1, fill=1)
    return rle.encode(np.asarray(canvas) > 0)


def _pasted(shape: Mapping[str, Any], points: list[float], height: int, width: int) -> bytes:
    """A PNG of the mask's box, whose first pixel is the first point."""
    if not isinstance(shape.get("mask"), str) or len(points) < 2:
        raise UsageError("its mask or its box is missing; expected a PNG in base64 and two points")
    try:
        data = base64.b64decode(str(shape["mask"]), validate=True)
        crop = decode(data, key="mask.png").pixels[:, :, 0] > 127
    except (ImageError, ValueError) as error:
        raise UsageError(f"its mask is not a PNG ({error})") from None
    x, y = (int(side) for side in points[:2])
    tall, wide = crop.shape
    if x < 0 or y < 0 or y + tall > height or x + wide > width:
        raise UsageError("its mask leaves the image")
    whole = np.zeros((height, width), bool)
    whole[y : y + tall, x : x + wide] = crop
    return rle.encode(whole)


def _size(document: Mapping[str, Any], path: Path) -> tuple[int, int]:
    sides = [identity(document.get(f"image{side}")) for side in ("Height", "Width")]
    for side, name in zip(sides, ("imageHeight", "imageWidth"), strict=True):
        if not isinstance(side, int) or side < 1:
            shown = document.get(name)
            raise UsageError(f'{path}: "{name}" is {shown!r}; expected a whole number')
    tall, wide = (side for side in sides if isinstance(side, int))
    return tall, wide


def _json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid JSON ({error})") from None


def _shapes(document: Any, path: Path) -> list[dict[str, Any]]:
    found = document.get("shapes") if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UsageError(f'{path} has no list of objects "shapes"; expected a file of LabelMe')
    return found


def write_labelme(
    selection: Selection, out: Path, *, images: Path | None, place: Place | None = None
) -> Losses:
    """LabelMe json: polygons; a mask of several parts or with holes as LabelMe's shape "mask".

    LabelMe looks for the image next to its file, where `place` puts it, or below `images`.
    """

    def content(image: ImageMasks, tally: Losses) -> bytes:
        folder = beside(out, image.name, ".json").parent
        shown = os.path.basename(image.name)
        if place is not None:
            place(image, folder / shown, tally)
        elif images is not None:
            shown = os.path.relpath(os.path.join(images, image.name), folder)
        if place is None and not os.path.lexists(os.path.normpath(folder / shown)):
            tally.lost(_NOT_THERE)
        document: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [_shape(mask, image) for mask in image.masks],
            "imagePath": shown,
            "imageData": None,
            "imageHeight": image.height,
            "imageWidth": image.width,
        }
        return json.dumps(document, indent=1).encode()

    return write_each(selection, out, ".json", content)


def _shape(mask: Mask, image: ImageMasks) -> dict[str, Any]:
    found = parts(mask.rle, *image.size)
    shape: dict[str, Any] = {
        "label": mask.category,
        "group_id": None,
        "description": f"{mask.score:.4f}",
        "flags": {},
    }
    if len(found) == 1 and not found[0].holes:
        points = [list(map(float, corner)) for corner in found[0].outer]
        return {**shape, "shape_type": "polygon", "points": points, "mask": None}
    x, y, crop = rle.decode_crop(mask.rle, *image.size)
    tall, wide = crop.shape
    corners = [[float(x), float(y)], [float(x + wide - 1), float(y + tall - 1)]]
    encoded = base64.b64encode(png.binary(crop)).decode()
    return {**shape, "shape_type": "mask", "points": corners, "mask": encoded}
