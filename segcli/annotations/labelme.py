"""LabelMe: a JSON file for every image, with shapes, read."""

from __future__ import annotations

import base64
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from segcli.annotations.columns import identity, number, parse_json
from segcli.annotations.paths import located, portable
from segcli.annotations.records import (
    CUT_OFF,
    SAME_PICTURE,
    Annotations,
    leaves,
    record,
    require_same_size,
    segment,
    size_of_picture,
)
from segcli.annotations.texts import read_bytes
from segcli.errors import ImageError, UsageError
from segcli.images import decode
from segcli.images.probe import probe
from segcli.masks import rle
from segcli.sources.folder import is_image_name
from segcli.types import Record, Segment

_FOREIGN = "{} JSON files without shapes are not LabelMe's and were left out"
_NO_LABEL = "{} shapes without a label were left out"
_SHORT = "{} polygons of fewer than three points were left out"
_LARGEST_CANVAS = 2**30  # px, bytes
_FLAT = "{} shapes without an area, points or lines, were left out"
_WITHOUT_AREA = frozenset({"point", "points", "line", "linestrip", "polyline"})
_CORNERS = frozenset({"polygon", "oriented_rectangle", "rotation", "quadrilateral"})


def read_labelme(folder: Path, images: Path | None = None) -> Annotations:
    """Every .json below `folder`; categories are the labels, sorted, numbered from 1.

    Shapes of one label and one group_id are one object. A picture's path is relative to its JSON
    file; keys are relative to `images`, or to `folder`. Raises UsageError, also while the records
    are gone through, naming file and shape.
    """
    paths = sorted(folder.rglob("*.json"))
    labels: set[str] = set()
    pictures: dict[str, list[Path]] = {}
    notes: Counter[str] = Counter()
    for path in paths:
        document = _json(path)
        if not isinstance(document, dict) or "shapes" not in document:
            notes[_FOREIGN] += 1
            continue
        labels |= {
            _label(shape)
            for shape in _shapes(document, path)
            if _kind(shape) not in _WITHOUT_AREA and _label(shape)
        }
        pictures.setdefault(_name(document, path, folder, images), []).append(path)
    if not pictures:
        raise UsageError(
            f"no .json of LabelMe below {folder}; expected one for each image, with a list of "
            'objects "shapes"'
        )
    names = tuple(sorted(labels))
    root = (images or folder).resolve()
    records = _records(pictures, names, root, notes)
    return Annotations(str(root), (names, tuple(range(1, len(names) + 1))), records, notes)


def _name(document: Any, path: Path, folder: Path, images: Path | None) -> str:
    """The picture's path below `images` or `folder`."""
    given = str(document.get("imagePath") or _picture_of(path))
    inside = path.parent.relative_to(folder).as_posix()
    if "\\" in given and os.path.splitext(given)[0] == path.stem:
        return given if inside == "." else f"{inside}/{given}"  # a name of its own, not of Windows
    if images is not None:
        picture = os.path.realpath(path.parent / given.replace("\\", "/"))
        below = os.path.relpath(picture, images.resolve()).replace(os.sep, "/")
        if not below.startswith("../"):
            return below
    return portable(given, inside) or path.name


def _picture_of(path: Path) -> str:
    """The name of a picture next to a JSON file that does not state it, or the file's own."""
    try:
        names = [one for one in os.listdir(path.parent) if os.path.splitext(one)[0] == path.stem]
    except OSError:
        names = []
    return min(filter(is_image_name, names), default=path.stem)


def _records(
    pictures: Mapping[str, Sequence[Path]], names: Sequence[str], root: Path, notes: Counter[str]
) -> Iterator[Record]:
    for name, paths in pictures.items():
        documents = [_json(path) for path in paths]
        sizes = [
            _size(document, path, name, root)
            for document, path in zip(documents, paths, strict=True)
        ]
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
        kind = _kind(shape)
        if kind in _WITHOUT_AREA:
            notes[_FLAT] += 1
            continue
        label, group = _label(shape), identity(shape.get("group_id"))
        if not label:
            notes[_NO_LABEL] += 1
            continue
        try:
            text = _mask(kind, shape, *size, notes)
        except (UsageError, ValueError, TypeError, OverflowError) as error:
            raise UsageError(f"{path}: a shape of {label!r}: {error}") from None
        if text is not None:
            own = ("alone", i) if group is None else ("group", group)
            groups.setdefault((label, own), []).append(text)
    return [
        segment(names.index(label), rle.union(texts, *size), *size)
        for (label, _), texts in groups.items()
    ]


def _label(shape: Mapping[str, Any]) -> str:
    label = shape.get("label")
    return "" if label is None else str(label)


def _points(shape: Mapping[str, Any]) -> list[float]:
    """x0, y0, x1, y1, ... px. Raises UsageError."""
    found = shape.get("points") or []
    if type(found) is not list or any(type(p) is not list or len(p) != 2 for p in found):
        raise UsageError("its points are not pairs [x, y]")
    sides = [number(side) for point in found for side in point]
    if set(map(type, sides)) - {int, float}:
        raise UsageError("its points are not pairs of numbers")
    return [float(side) for side in sides]


def _kind(shape: Mapping[str, Any]) -> str:
    return str(shape.get("shape_type") or "polygon")  # LabelMe 3 knew nothing else


def _mask(
    kind: str, shape: Mapping[str, Any], height: int, width: int, notes: Counter[str]
) -> bytes | None:
    """None for a polygon of fewer than three points, which encloses nothing."""
    points = _points(shape)
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
    if kind == "polygon" and len(points) < 6 and len(points) % 2 == 0:
        notes[_SHORT] += 1
        return None
    text = rle.from_polygons([points], height, width)
    if leaves(points[::2], points[1::2], height, width):
        notes[CUT_OFF] += 1
    return text


def _circle(points: Sequence[float], height: int, width: int) -> bytes:
    """From its centre and a point on it, filled as LabelMe fills it: by Pillow."""
    if len(points) != 4 or not all(map(math.isfinite, points)):
        raise UsageError("a circle needs its centre and a point on it")
    x, y, radius = points[0], points[1], math.dist(points[:2], points[2:])
    if max(abs(x), abs(y), radius) > 5 * max(height, width):
        raise UsageError("a circle nowhere near the image; is it another image's?")
    if height * width > _LARGEST_CANVAS:
        raise UsageError(
            f"a circle in an image of {height} x {width} px, which is too large for it"
        )
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
    if height * width > _LARGEST_CANVAS:
        raise UsageError(f"a mask in an image of {height} x {width} px, which is too large for it")
    whole = np.zeros((height, width), bool)
    whole[y : y + tall, x : x + wide] = crop
    return rle.encode(whole)


def _size(document: Mapping[str, Any], path: Path, name: str, root: Path) -> tuple[int, int]:
    """(height, width) px as the file states it, or of the picture in it or next to it."""
    given = [document.get(f"image{side}") for side in ("Height", "Width")]
    if None in given:
        return _size_of_picture(document, path, name, root)
    sides = [identity(number(side)) for side in given]
    for side, own, what in zip(sides, given, ("imageHeight", "imageWidth"), strict=True):
        if not isinstance(side, int) or side < 1:
            raise UsageError(f'{path}: "{what}" is {own!r}; expected a whole number')
    tall, wide = (side for side in sides if isinstance(side, int))
    if tall > rle.MAX_PIXELS // wide:
        raise UsageError(f"{path}: an image cannot be {given[0]} x {given[1]} px")
    return tall, wide


def _size_of_picture(
    document: Mapping[str, Any], path: Path, name: str, root: Path
) -> tuple[int, int]:
    try:
        if document.get("imageData"):
            header = probe(base64.b64decode(str(document["imageData"])), key=name)
            return header.height, header.width
        if located(name, root) is not None:
            return size_of_picture(name, root)
    except (ImageError, ValueError) as error:
        raise UsageError(f"{path}: the size of its picture cannot be read: {error}") from None
    raise UsageError(
        f'{path}: "imageHeight" or "imageWidth" is missing; expected them, or the picture '
        f"{name!r} below {root} (`images`)"
    )


def _json(path: Path) -> Any:
    try:
        return parse_json(read_bytes(path))
    except UnicodeError as error:
        raise UsageError(f"{path} is not text in UTF-8 ({error}); convert it") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid JSON ({error})") from None


def _shapes(document: Any, path: Path) -> list[dict[str, Any]]:
    found = document.get("shapes") if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UsageError(f'{path} has no list of objects "shapes"; expected a file of LabelMe')
    return found
