"""YOLO's labels as tools write them: data.yaml, layouts of folders, lines of text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from dialects import Draw, Mask, Scene, scenes
from hypothesis import strategies as st
from PIL import Image


@dataclass(frozen=True)
class YoloFolder:
    """`files` below the folder, `pictures` with their sizes (height, width)."""

    scene: Scene
    files: dict[str, bytes]
    pictures: dict[str, tuple[int, int]]
    keys: dict[str, str]

    def write(self, folder: Path) -> None:
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for name, (height, width) in self.pictures.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (width, height)).save(path)

    def masks(self) -> Counter[Mask]:
        """Filled by the even-odd rule: a pixel is inside when its centre is."""
        found: Counter[Mask] = Counter()
        for thing in self.scene.things:
            key, height, width = self.scene.images[thing.image]
            for polygon in thing.polygons:
                points = np.array(polygon).reshape(-1, 2)
                pixels = even_odd(points, height, width)
                if pixels.any():
                    category = self.scene.categories[thing.category]
                    found[self.keys[key], category, pixels.tobytes()] += 1
        return found


def even_odd(points: Any, height: int, width: int) -> Any:
    """Pixels whose centre has an odd number of sides of the polygon (n, 2) to its left."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inside = np.zeros((height, width), bool)
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, 0), strict=True):
        if ay == by:
            continue
        inside ^= ((ay <= y) != (by <= y)) & (x > ax + (y - ay) * (bx - ax) / (by - ay))
    return inside


@st.composite
def yolo_folders(draw: Draw) -> YoloFolder:
    scene = draw(scenes(suffix=".png"))
    # No side goes through the centre of a pixel, so rounding in the text decides nothing.
    things = tuple(
        replace(t, polygons=tuple(tuple(shifted(p)) for p in t.polygons)) for t in scene.things
    )
    scene = replace(scene, things=things)
    layout = draw(st.sampled_from(["labels", "split", "together"]))
    front = {"labels": "images/", "split": "train/images/", "together": ""}[layout]
    back = {"labels": "labels/", "split": "train/labels/", "together": ""}[layout]
    if layout != "labels":  # the last folder "images" of a path decides where its label is
        images = tuple((key.replace("images/", ""), h, w) for key, h, w in scene.images)
        scene = replace(scene, images=images)
    files, pictures, keys = dict[str, bytes](), dict[str, tuple[int, int]](), dict[str, str]()
    gap = draw(st.integers(0, 2))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    for at, (key, height, width) in enumerate(scene.images):
        stem = key.removesuffix(".png")
        pictures[front + key] = (height, width)
        keys[key] = key if layout == "labels" else front + key
        own = [(t.category, p) for t in scene.things if t.image == at for p in t.polygons]
        if own or at == 0 or draw(st.booleans()):
            lines = [line(draw, category + gap, p, height, width) for category, p in own]
            if draw(st.booleans()):
                lines.append(draw(st.sampled_from(["", "   ", "\t"])))
            if own and draw(st.booleans()):
                lines.insert(0, f"{gap} 0.5 0.5 0.2 0.2")  # a box among the outlines
            text = newline.join(lines) + draw(st.sampled_from(["", newline]))
            bom = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"]))
            files[f"{back}{stem}.txt"] = bom + text.encode()
    files["data.yaml"] = data_yaml(draw, scene, gap, newline)
    if layout == "labels" and draw(st.booleans()):
        files["labels/classes.txt"] = b"something\n"
    return YoloFolder(scene, files, pictures, keys)


def shifted(polygon: tuple[float, ...]) -> list[float]:
    return [side + (0.03, 0.0471)[i % 2] for i, side in enumerate(polygon)]


def line(draw: Draw, number: int, polygon: tuple[float, ...], height: int, width: int) -> str:
    """One object: class x y x y ..."""
    sides = [value / (width, height)[i % 2] for i, value in enumerate(polygon)]
    if draw(st.booleans()):
        sides += sides[:2]  # closed
    style = draw(st.sampled_from(["{:.9f}", "{:.12g}", "{:.10e}", "{!r}"]))
    words = [style.format(side) for side in sides]
    if draw(st.integers(0, 4)) == 0:
        words = [word.replace(".", ",") for word in words]
    head = draw(st.sampled_from([f"{number}", f"{number}.0", f"{number}.000000"]))
    tail = draw(st.sampled_from([[], ["0.8731"], ["1"]]))
    blank = draw(st.sampled_from([" ", "  ", "\t"]))
    return blank.join([head, *words, *tail]) + draw(st.sampled_from(["", " ", "\t "]))


def data_yaml(draw: Draw, scene: Scene, gap: int, newline: str) -> bytes:
    """The names as YAML libraries and people write them; PyYAML agrees on what they mean."""
    names: Any = dict(enumerate(scene.categories, gap))
    if gap == 0 and draw(st.booleans()):
        names = list(scene.categories)
    content = {"path": ".", "train": "images", "val": "images", "nc": len(names), "names": names}
    content = {key: content[key] for key in draw(st.permutations(list(content)))}
    text = yaml.safe_dump(
        content,
        default_flow_style=draw(st.sampled_from([True, False, None])),
        allow_unicode=draw(st.booleans()),
        width=draw(st.sampled_from([20, 80])),
        explicit_start=draw(st.booleans()),
        sort_keys=False,
    )
    if draw(st.booleans()):
        text = f"# made by a tool\n{text}# the end: [of it]\n"
    assert yaml.safe_load(text)["names"] == names
    text = text.replace("\n", newline)
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])))
