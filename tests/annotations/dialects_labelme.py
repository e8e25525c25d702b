"""LabelMe's files as its versions and other tools write them, with the rules of its shapes."""

from __future__ import annotations

import base64
import io
import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dialects import Draw, Mask, Scene, number, pixels_of, scenes
from hypothesis import strategies as st
from PIL import Image, ImageDraw


@dataclass(frozen=True)
class LabelmeFolder:
    """`files` below the folder, `pictures` with their sizes, and the masks they mean."""

    scene: Scene
    files: dict[str, bytes]
    pictures: dict[str, tuple[int, int]]
    masks: Counter[Mask]

    def write(self, folder: Path) -> None:
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for name, (height, width) in self.pictures.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (width, height)).save(path)


@st.composite
def labelme_folders(draw: Draw) -> LabelmeFolder:
    scene = draw(scenes())
    found: Counter[Mask] = Counter()
    files, pictures = dict[str, bytes](), dict[str, tuple[int, int]]()
    for at, (key, height, width) in enumerate(scene.images):
        shapes, groups = [], dict[Any, Any]()
        for thing in (t for t in scene.things if t.image == at):
            label = scene.categories[thing.category]
            kind, points, pixels, more = shape(draw, thing.polygons[0], height, width)
            group = draw(st.sampled_from([None, None, 1, 1.0, "1", 2]))
            one = {"label": label, "points": points, "shape_type": kind, "group_id": group} | more
            shapes.append(bare(draw, one))
            alone = shapes[-1].get("group_id") is None
            own = (label, f"alone {len(shapes)}" if alone else float(group))
            groups[own] = groups.get(own, False) | pixels
        for (label, _), pixels in groups.items():
            if np.any(pixels):
                found[key, label, pixels.tobytes()] += 1
        shapes += draw(st.lists(st.sampled_from(LEFT_OUT), max_size=2))
        document, picture = whole(draw, key, shapes, height, width)
        if picture:
            pictures[key] = (height, width)
        text = json.dumps(document, ensure_ascii=draw(st.booleans()), indent=2)
        encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
        files[f"{key.removesuffix('.jpg')}.json"] = text.encode(encoding)
    if draw(st.booleans()):
        files["instances.json"] = b'{"images": [], "annotations": [], "categories": []}'
    return LabelmeFolder(scene, files, pictures, found)


LEFT_OUT = [
    {"label": "nose", "points": [[1, 1]], "shape_type": "point"},
    {"label": "edge", "points": [[1, 1], [2, 3]], "shape_type": "line", "group_id": None},
    {"label": "lane", "points": [[1, 1], [2, 3], [3, 3]], "shape_type": "linestrip", "flags": {}},
    {"label": "person", "points": [[1, 1], [2, 2]], "shape_type": "polygon"},
    {"label": None, "points": [[1, 1], [3, 1], [3, 3]], "shape_type": "polygon"},
]


def shape(
    draw: Draw, polygon: tuple[float, ...], height: int, width: int
) -> tuple[str, list[list[Any]], Any, dict[str, Any]]:
    """(kind, points, pixels, other fields) by LabelMe's documented rules: a rectangle has two
    opposite corners, a circle its centre and a point on it, a mask a PNG at its first point."""
    points = [list(polygon[i : i + 2]) for i in range(0, len(polygon), 2)]
    kind = draw(st.sampled_from(["polygon", "rectangle", "circle", "mask", "oriented_rectangle"]))
    if kind == "circle":
        (x, y), other = points[0], points[1]
        canvas = Image.new("L", (width, height))
        r = math.dist((x, y), other)
        ImageDraw.Draw(canvas).ellipse((x - r, y - r, x + r, y + r), outline=1, fill=1)
        return kind, [[x, y], other], np.array(canvas) > 0, {}
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points[:2]
        corners = (x0, y0, x1, y0, x1, y1, x0, y1)
        return kind, points[:2], pixels_of([corners], height, width), {}
    if kind == "mask":
        pixels = pixels_of([polygon], height, width)
        rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        if len(rows):
            box = rows[0], rows[-1], columns[0], columns[-1]
            top, bottom, left, right = map(int, box)
            crop = pixels[top : bottom + 1, left : right + 1]
            file = io.BytesIO()
            Image.fromarray(crop).save(file, "PNG")
            text = base64.b64encode(file.getvalue()).decode()
            offset = draw(st.sampled_from([0.0, 0.4]))
            ends = [[left + offset, top + offset], [right + offset, bottom + offset]]
            return kind, ends, pixels, {"mask": text}
        kind = "polygon"
    if kind == "oriented_rectangle":
        points = points[:1] * (4 - len(points[:4])) + points[:4]
        flat = tuple(side for point in points for side in point)
        return kind, points, pixels_of([flat], height, width), {}
    return kind, points, pixels_of([polygon], height, width), {}


def bare(draw: Draw, one: dict[str, Any]) -> dict[str, Any]:
    """The fields that a version writes: 3 had neither kinds nor groups, 5 has more."""
    one = dict(one)
    if one["shape_type"] == "polygon" and draw(st.booleans()):
        del one["shape_type"]
        one |= {"line_color": None, "fill_color": [0, 255, 0, 128]}
        if draw(st.booleans()):
            one["group_id"] = None
            del one["group_id"]
    if draw(st.booleans()):
        one |= {"description": "", "flags": {}, "mask": one.get("mask"), "other": {"a": 1}}
    if draw(st.booleans()):
        one["points"] = [[number(draw, side) for side in point] for point in one["points"]]
    return one


def whole(
    draw: Draw, key: str, shapes: list[Any], height: int, width: int
) -> tuple[dict[str, Any], bool]:
    """The document, and whether its picture must be there."""
    name = key.rpartition("/")[2]
    path = draw(st.sampled_from([name, f"./{name}", f".\\{name}", None]))
    document: dict[str, Any] = {
        "version": draw(st.sampled_from(["3.16.7", "4.6.0", "5.5.0"])),
        "flags": {},
        "shapes": shapes,
        "lineColor": [0, 255, 0, 128],
        "fillColor": [255, 0, 0, 128],
        "imagePath": path,
        "imageData": None,
        "imageHeight": number(draw, height),
        "imageWidth": number(draw, width),
    }
    size = draw(st.sampled_from(["there", "null", "absent", "data"]))
    if size == "there":
        return document, path is None
    for side in ("imageHeight", "imageWidth"):
        document[side] = None
        if size == "absent":
            del document[side]
    if size == "data":
        file = io.BytesIO()
        Image.new("RGB", (width, height)).save(file, "JPEG")
        document["imageData"] = base64.b64encode(file.getvalue()).decode()
    return document, size != "data" or path is None
