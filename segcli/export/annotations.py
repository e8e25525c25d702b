"""Annotations of other tools as records: the way in. COCO json, YOLO-seg text, LabelMe json."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segcli.errors import UsageError
from segcli.keys import key_from_path
from segcli.masks import rle
from segcli.masks.even_odd import fill
from segcli.types import Record, Sample, Segment


@dataclass(slots=True)
class Annotations:
    """`categories` (names, ids); `records` to be gone through once; `skipped` counts crowds."""

    root: str
    categories: tuple[tuple[str, ...], tuple[int, ...]]
    records: Iterator[Record]
    skipped: dict[str, int] = field(default_factory=dict)


def read_coco(path: Path) -> Annotations:
    """Raises UsageError, also while the records are gone through, naming the annotation."""
    document = _json(path)
    if not isinstance(document, dict):
        raise UsageError(f"{path} is no COCO json: expected an object with images, annotations")
    images, items, kinds = (
        _objects(document, name, path) for name in ("images", "annotations", "categories")
    )
    kinds = sorted(kinds, key=lambda one: _whole(one, "id", "category"))
    ids = tuple(one["id"] for one in kinds)
    if len(set(ids)) < len(ids):
        raise UsageError(f"{path}: the id of a category comes twice")
    names = tuple(str(one.get("name", one["id"])) for one in kinds)
    by_image: dict[int, list[dict[str, Any]]] = {
        _whole(image, "id", "image"): [] for image in images
    }
    if len(by_image) < len(images):
        raise UsageError(f"{path}: the id of an image comes twice")
    for item in items:
        own = by_image.get(_whole(item, "image_id", "annotation"))
        if own is None or item.get("category_id") not in ids:
            what = "image" if own is None else "category"
            number = item.get(f"{what}_id")
            raise UsageError(f"{_called(item)}: it is of {what} {number}, which the file lacks")
        own.append(item)
    found = Annotations(str(path.resolve()), (names, ids), iter(()))
    found.records = _coco_records(images, by_image, {n: i for i, n in enumerate(ids)}, found)
    return found


def _coco_records(
    images: Sequence[Mapping[str, Any]],
    by_image: Mapping[int, list[dict[str, Any]]],
    label: Mapping[int, int],
    found: Annotations,
) -> Iterator[Record]:
    for image in images:
        height, width = (_whole(image, side, "image") for side in ("height", "width"))
        name = str(image.get("file_name") or image["id"]).removeprefix("./")
        segments = []
        for item in by_image[image["id"]]:
            if item.get("iscrowd"):
                found.skipped["crowd"] = found.skipped.get("crowd", 0) + 1
                continue
            try:
                text = rle.from_coco(item.get("segmentation"), height, width)
            except (UsageError, TypeError) as error:
                raise UsageError(f"{_called(item)}: {error}") from None
            segments.append(_segment(label[item["category_id"]], text, height, width, item))
        yield _record(name, height, width, segments)


def read_yolo(folder: Path, size_of: Callable[[str], tuple[str, int, int]]) -> Annotations:
    """`folder` holds data.yaml and labels/; `size_of` tells (name, height, width) of the image
    that a label's relative path without suffix belongs to."""
    names = _yolo_names(folder / "data.yaml")
    labels = folder / "labels"
    paths = sorted(labels.rglob("*.txt"))
    if not paths:
        raise UsageError(f"no label in {labels}; expected YOLO-seg text, one file for each image")
    records = (_yolo_record(path, labels, size_of, len(names)) for path in paths)
    return Annotations(str(folder.resolve()), (names, tuple(range(len(names)))), records)


def _yolo_record(
    path: Path, labels: Path, size_of: Callable[[str], tuple[str, int, int]], kinds: int
) -> Record:
    name, height, width = size_of(str(path.relative_to(labels).with_suffix("")))
    segments = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            label, score, text = _yolo_line(line, kinds, height, width)
            segments.append(_segment(label, text, height, width, {"score": score}))
        except (ValueError, UsageError) as error:
            raise UsageError(f"{path}, line {number}: {error}") from None
    return _record(name, height, width, segments)


def _yolo_line(line: str, kinds: int, height: int, width: int) -> tuple[int, float, bytes]:
    """(label, score, mask) of "class x y x y x y ...", sides from 0 to 1, at times a score last."""
    words = line.split()
    label, sides = int(words[0]), [float(word) for word in words[1:]]
    if not 0 <= label < kinds:
        raise UsageError(f"class {label}, but data.yaml names {kinds}")
    if len(sides) in (4, 5):
        raise UsageError("a box, not an outline: these are labels for detection, without masks")
    score = sides.pop() if len(sides) % 2 else 1.0
    points = np.array(sides, np.float64).reshape(-1, 2) * (width, height)
    return label, score, fill(points, height, width)


def _yolo_names(path: Path) -> tuple[str, ...]:
    """The names of a data.yaml: a list in brackets, lines "- name" or lines "0: name"."""
    lines = _text(path).splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("names:")), None)
    if start is None:
        raise UsageError(f'{path} has no "names:" of the classes')
    rest = lines[start].removeprefix("names:").strip()
    if rest:
        words = rest.strip("[]").split(",")
    else:
        words = []
        for line in lines[start + 1 :]:
            if not line.startswith((" ", "-")):
                break
            words.append(line.strip().removeprefix("-").rpartition(": ")[2])
    names = tuple(word.strip().strip("'\"") for word in words)
    if not all(names) or len(set(names)) < len(names):
        raise UsageError(f"{path}: the names of the classes must differ, and none be empty")
    return names


def read_labelme(folder: Path) -> Annotations:
    """Every .json below `folder`; categories are the labels, sorted, numbered from 1."""
    paths = sorted(folder.rglob("*.json"))
    if not paths:
        raise UsageError(f"no .json below {folder}; expected LabelMe's, one for each image")
    labels = {
        str(shape.get("label")) for path in paths for shape in _objects(_json(path), "shapes", path)
    }
    names = tuple(sorted(labels))
    records = (_labelme_record(path, folder, names) for path in paths)
    ids = tuple(range(1, len(names) + 1))
    return Annotations(str(folder.resolve()), (names, ids), records)


def _labelme_record(path: Path, folder: Path, names: tuple[str, ...]) -> Record:
    document = _json(path)
    height, width = (_whole(document, f"image{side}", str(path)) for side in ("Height", "Width"))
    own = Path(str(document.get("imagePath") or path.name)).name
    segments = []
    for shape in _objects(document, "shapes", path):
        try:
            text = _labelme_mask(shape, height, width)
        except (UsageError, ValueError, TypeError) as error:
            raise UsageError(f"{path}: a shape of {shape.get('label')!r}: {error}") from None
        label = names.index(str(shape.get("label")))
        segments.append(_segment(label, text, height, width, {}))
    name = path.relative_to(folder).with_name(own).as_posix()
    return _record(name, height, width, segments)


def _labelme_mask(shape: Mapping[str, Any], height: int, width: int) -> bytes:
    points = [float(side) for point in shape.get("points") or () for side in point]
    kind = shape.get("shape_type")
    if kind == "rectangle" and len(points) == 4:
        x0, y0, x1, y1 = points
        points = [x0, y0, x1, y0, x1, y1, x0, y1]
    elif kind == "mask":
        return _pasted(shape, points, height, width)
    elif kind != "polygon":
        raise UsageError(f"its shape {kind!r} has no area; expected polygon, rectangle or mask")
    return rle.from_polygons([points], height, width)


def _pasted(shape: Mapping[str, Any], points: list[float], height: int, width: int) -> bytes:
    """A PNG of the mask's box, whose first pixel is the first point."""
    from segcli.errors import ImageError
    from segcli.images import decode

    try:
        data = base64.b64decode(str(shape.get("mask")), validate=True)
        crop = decode(data, key="mask.png").pixels[:, :, 0] > 127
    except (ImageError, ValueError) as error:
        raise UsageError(f"its mask is no PNG ({error})") from None
    x, y = (int(side) for side in points[:2])
    tall, wide = crop.shape
    if x < 0 or y < 0 or y + tall > height or x + wide > width:
        raise UsageError("its mask leaves the image")
    whole = np.zeros((height, width), bool)
    whole[y : y + tall, x : x + wide] = crop
    return rle.encode(whole)


def _segment(
    label: int, text: bytes, height: int, width: int, item: Mapping[str, Any]
) -> Segment | None:
    """None for a mask without a pixel: rows have none of these."""
    area = rle.area(text, height, width)
    if not area:
        return None
    score = item.get("score", 1.0)
    if type(score) not in (int, float) or not 0 <= score <= 1:
        raise UsageError(f"{_called(item)}: its score {score!r} is outside [0, 1]")
    return Segment(label, float(score), rle.to_box(text, height, width), area, text)


def _record(name: str, height: int, width: int, segments: Sequence[Segment | None]) -> Record:
    kept = sorted((one for one in segments if one is not None), key=lambda one: -one.score)
    return Record(Sample(key_from_path(name), name), height, width, kept)


def _called(item: Mapping[str, Any]) -> str:
    return f"annotation {item['id']}" if "id" in item else "an annotation without an id"


def _whole(item: Any, key: str, what: str) -> int:
    value = item.get(key) if isinstance(item, dict) else None
    if type(value) is not int:
        raise UsageError(f'{what}: "{key}" is {value!r}; expected a whole number')
    return value


def _objects(document: Any, key: str, path: Path) -> list[dict[str, Any]]:
    found = document.get(key) if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UsageError(f'{path} has no list of objects "{key}"')
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text") from None


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no valid JSON ({error})") from None
