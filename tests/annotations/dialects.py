"""Scenes, and the COCO JSON that tools write of them, for tests of the readers.

A scene is what a file means: images, and objects as polygons. A writer draws how to write it, so
that whatever it writes means the scene. The masks are those of pycocotools.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as coco

Draw = Any
Mask = tuple[str, str, bytes]
"""(key, category, pixels)"""

NAMES = ("person", "Auto, rot: #1", "лицо 人", "yes", "12", 'driver\'s "seat"')
FOLDERS = ("", "images/val/", "cam 1/", "ünï/")


@dataclass(frozen=True)
class Thing:
    """One object: polygons [x0, y0, ...] px, each of at least three points."""

    image: int
    category: int
    polygons: tuple[tuple[float, ...], ...]
    crowd: bool = False


@dataclass(frozen=True)
class Scene:
    """`images` are (key, height, width)."""

    images: tuple[tuple[str, int, int], ...]
    categories: tuple[str, ...]
    things: tuple[Thing, ...]

    def masks(self, *, crowds: bool = False) -> Counter[Mask]:
        """What a reader should find, by pycocotools; masks without a pixel are none."""
        found: Counter[Mask] = Counter()
        for thing in self.things:
            key, height, width = self.images[thing.image]
            pixels = pixels_of(thing.polygons, height, width)
            if pixels.any() and (crowds or not thing.crowd):
                found[key, self.categories[thing.category], pixels.tobytes()] += 1
        return found

    def area(self, thing: Thing) -> int:
        _, height, width = self.images[thing.image]
        return int(pixels_of(thing.polygons, height, width).sum())


def pixels_of(polygons: Iterable[tuple[float, ...]], height: int, width: int) -> Any:
    """(H, W) bool of polygons, by pycocotools."""
    coded = coco.frPyObjects([list(one) for one in polygons], height, width)
    return decoded(coco.merge(coded)["counts"], height, width)


def decoded(counts: bytes, height: int, width: int) -> Any:
    """(H, W) bool, without the array type of pycocotools."""
    flat, at, value, runs = [], 0, 0, list[int]()
    while at < len(counts):
        number = shift = 0
        while True:
            byte = counts[at] - 48
            at += 1
            number |= (byte & 31) << shift
            shift += 5
            if not byte & 32:
                break
        if byte & 16:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
    for run in runs:
        flat.append(np.full(run, value, bool))
        value = not value
    return np.concatenate(flat).reshape(width, height).T


@st.composite
def scenes(draw: Draw, *, suffix: str = ".jpg", most_categories: int = 3) -> Scene:
    keys = draw(
        st.lists(
            st.builds(
                str.__add__,
                st.sampled_from(FOLDERS),
                st.sampled_from(["a", "b 1", "2024.01.02", "人", "x_y"]),
            ),
            min_size=1,
            max_size=3,
            unique=True,
        )
    )
    side = st.integers(4, 24)
    images = tuple((f"{key}{suffix}", draw(side), draw(side)) for key in keys)
    count = draw(st.integers(1, most_categories))
    names = tuple(draw(st.permutations(NAMES))[:count])
    things = []
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(images) - 1))
        polygons = draw(
            st.lists(polygon(images[at][1], images[at][2]), min_size=1, max_size=2).map(tuple)
        )
        things.append(Thing(at, draw(st.integers(0, count - 1)), polygons))
    return Scene(images, names, tuple(things))


def polygon(height: int, width: int) -> st.SearchStrategy[tuple[float, ...]]:
    """Corners on quarters of pixels, inside the image."""
    x, y = st.integers(0, 4 * width), st.integers(0, 4 * height)
    points = st.lists(st.tuples(x, y), min_size=3, max_size=5)
    return points.map(lambda found: tuple(side / 4 for point in found for side in point))


def number(draw: Draw, value: float) -> Any:
    """A number as tools write it."""
    kinds = [value, float(value), str(value), f"{value:.6e}"]
    return draw(st.sampled_from(kinds))


class CocoWriter:
    """One way to write a scene as COCO JSON. `scored`: so that it can be evaluated, with areas that
    are true or missing and without objects of other images."""

    def __init__(self, draw: Draw, scene: Scene, *, scored: bool = False) -> None:
        self.draw, self.scene, self.scored = draw, scene, scored
        self.id_kind = draw(st.sampled_from(["int", "float", "text", "name", "large", "negative"]))
        self.category_kind = draw(st.sampled_from(["int", "float", "text"]))
        self.path_kind = draw(
            st.sampled_from(["plain", "dot", "windows", "up", "studio", "web", "null"])
        )

    def image_id(self, i: int) -> Any:
        kinds = {"text": str(i), "name": f"img_{i}", "large": 2**53 + 1 + i, "negative": -i - 1}
        kinds["float"] = float(i)
        return kinds.get(self.id_kind, i)

    def category_id(self, i: int) -> Any:
        return {"float": float(i), "text": str(i)}.get(self.category_kind, i)

    def name(self, key: str) -> str | None:
        local = "/data/local-files/?d=" + key.replace(" ", "%20")
        kinds = {
            "dot": "./" + key,
            "windows": key.replace("/", "\\"),
            "up": "..\\..\\" + key.replace("/", "\\"),
            "studio": local,
            "web": "https://example.org/" + key.replace(" ", "%20") + "?x=1",
        }
        return kinds.get(self.path_kind, key)

    def images(self) -> list[dict[str, Any]]:
        draw, found = self.draw, []
        for i, (key, height, width) in enumerate(self.scene.images):
            one = {"id": self.image_id(i), "file_name": self.name(key)}
            if self.path_kind == "null":
                one |= {"file_name": None, "coco_url": key}
            one |= {"height": number(draw, height), "width": number(draw, width)}
            if draw(st.booleans()):
                one |= {"license": 1, "date_captured": "", "flickr_url": ""}
            found.append(one)
        if draw(st.booleans()):
            found.append(dict(found[0]))  # listed twice, word for word
        return draw(st.permutations(found))

    def annotations(self) -> list[dict[str, Any]]:
        draw, found = self.draw, []
        ids = draw(st.sampled_from(["int", "none", "text", *(["same"] if not self.scored else [])]))
        for i, thing in enumerate(self.scene.things):
            one = {
                "image_id": self.image_id(thing.image),
                "category_id": self.category_id(thing.category),
                "segmentation": self.segmentation(thing),
                **draw(st.sampled_from(self.areas(thing))),
                **draw(st.sampled_from([{}, {"ignore": 0}, {"attributes": {}}])),
                **draw(
                    st.sampled_from(
                        [{}, {"bbox": None}, {"bbox": []}, {"bbox": ["1", 1.0, 2, 3]}]
                        + [{"bbox": [5, 5, -2, 3]}, {"bbox": [1, 1, math.nan, 3]}]
                    )
                ),
                **draw(
                    st.sampled_from(
                        [{}, *({"iscrowd": zero} for zero in (0, 0.0, "0", False, None))]
                    )
                ),
            }
            if ids != "none":
                one["id"] = {"int": i, "text": f"a{i}", "same": 7}[ids]
            found.append(one)
        if found and not self.scored and draw(st.booleans()):
            # an image or category that is not listed
            change = draw(st.sampled_from([{"image_id": 777}, {"category_id": "none"}]))
            found.append(dict(found[0], id=999) | change)
        return found

    def areas(self, thing: Thing) -> list[dict[str, Any]]:
        if not self.scored:
            return [{}, {"area": None}, {"area": "12.5"}, {"area": 3}, {"area": math.nan}]
        area = self.scene.area(thing)
        return [{}, {"area": None}, {"area": area}, {"area": float(area)}, {"area": f"{area}.0"}]

    def segmentation(self, thing: Thing) -> Any:
        draw = self.draw
        _, height, width = self.scene.images[thing.image]
        polygons = [list(one) for one in thing.polygons]
        kind = draw(
            st.sampled_from(["polygons", "text", "pairs", "flat", "short", "rle", "runs", "bytes"])
        )
        if kind in ("rle", "runs", "bytes"):
            counts = coco.merge(coco.frPyObjects(polygons, height, width))["counts"]
            size = [number(draw, height), number(draw, width)]
            if kind == "runs":
                flat = decoded(counts, height, width).T.ravel()
                cuts = np.flatnonzero(np.diff(flat)) + 1
                runs = np.diff([0, *cuts.tolist(), len(flat)]).tolist()
                runs = [0, *runs] if flat[0] else runs
                return {
                    "size": size,
                    "counts": [draw(st.sampled_from([r, float(r)])) for r in runs],
                }
            return {"counts": counts.decode() if kind == "rle" else str(counts), "size": size}
        if kind == "text":
            return [[number(draw, side) for side in one] for one in polygons]
        if kind == "pairs":
            return [[one[i : i + 2] for i in range(0, len(one), 2)] for one in polygons]
        if kind == "flat" and len(polygons) == 1:
            return polygons[0]
        if kind == "short":
            return [*polygons, draw(st.sampled_from([[], [1, 1], [1, 1, 2, 2]]))]
        return polygons

    def document(self) -> dict[str, Any]:
        draw = self.draw
        order = draw(st.permutations(range(len(self.scene.categories))))
        parts = {
            "images": self.images(),
            "annotations": self.annotations(),
            "categories": [
                {"id": self.category_id(i), "name": self.scene.categories[i]}
                | draw(st.sampled_from([{}, {"supercategory": ""}, {"color": "#f00"}]))
                for i in order
            ],
            **draw(st.sampled_from([{}, {"info": None}, {"info": [], "licenses": []}])),
        }
        return {key: parts[key] for key in draw(st.permutations(list(parts)))}

    def data(self) -> bytes:
        document = self.document()
        text = json.dumps(document, ensure_ascii=self.draw(st.booleans()))
        encodings = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]
        return text.encode(self.draw(st.sampled_from(encodings)))


@st.composite
def coco_files(draw: Draw) -> tuple[Scene, bytes]:
    """A scene and a file that means it."""
    scene = draw(scenes())
    return scene, CocoWriter(draw, scene).data()


@st.composite
def evaluations(draw: Draw) -> tuple[Any, Any, Any, Any]:
    """(truth, results) in a dialect, and the same as COCO writes them."""
    scene = draw(scenes())
    writer = CocoWriter(draw, scene, scored=True)
    order = draw(st.permutations(range(len(scene.things))))
    found, plain = [], []
    for place, i in enumerate(order):
        thing = scene.things[i]
        _, height, width = scene.images[thing.image]
        by = draw(st.sampled_from([0.0, 0.0, 1.0, 3.0]))
        moved = [[min(side + by, 24.0) for side in one] for one in thing.polygons]
        counts = coco.merge(coco.frPyObjects(moved, height, width))["counts"].decode()
        result = {"segmentation": {"size": [height, width], "counts": counts}}
        category = draw(st.integers(0, len(scene.categories) - 1))
        result |= {"score": 0.9 - 0.1 * place}
        ids = writer.image_id(thing.image), writer.category_id(category)
        found.append({"image_id": ids[0], "category_id": ids[1], **result})
        plain.append({"image_id": thing.image + 1, "category_id": category + 1, **result})
    truth = {
        "images": [
            {"id": i, "height": height, "width": width}
            for i, (_, height, width) in enumerate(scene.images, 1)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(scene.categories, 1)],
        "annotations": [
            {
                "id": i,
                "image_id": thing.image + 1,
                "category_id": thing.category + 1,
                "segmentation": [list(one) for one in thing.polygons],
                "area": scene.area(thing),
                "iscrowd": 0,
            }
            for i, thing in enumerate(scene.things, 1)
        ],
    }
    return json.loads(json.dumps(writer.document())), found, truth, plain


def damaged(document: Any, draw: Draw) -> Any:
    """A copy with one to three values replaced by others, or left out."""
    text = json.dumps(document)
    for _ in range(draw(st.integers(1, 3))):
        document = json.loads(text)
        places: list[tuple[Any, Any]] = []
        pending = [document]
        while pending:
            one = pending.pop()
            keys = list(one) if isinstance(one, dict) else range(len(one))
            for key in keys:
                places.append((one, key))
                if isinstance(one[key], dict | list):
                    pending.append(one[key])
        if not places:
            return document
        holder, key = draw(st.sampled_from(places))
        value = draw(st.sampled_from([*JUNK, ...]))
        if value is ...:
            del holder[key]
        else:
            holder[key] = value
        text = json.dumps(document)
    return document


JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, 1e308, 2**70, -(2**63), math.nan, math.inf, "", "0", "1e999",
    "x", "\ud800", "\0", "../..", "/", "a" * 300, [], {}, [[]], [None], [[[]]], [1],
    [1, 2], [[1, 2]], {"size": [1, 1], "counts": "0"}, {"size": None}, {"counts": []}, "b'", "?d=",
    "://", "C:\\",
]  # fmt: skip
