"""Draw crowded scenes with exact masks: make_scenes.py --out FOLDER [--count --size --seed ...].

Writes FOLDER/images/*.jpg and FOLDER/annotations.json (COCO, RLE of what is visible). A scene
depends on the seed, its number and the options alone, so the same command gives the same bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from scripts.data.scene_drawing import Thing, background, compose, lit
from scripts.data.scene_shapes import SHAPES, Part
from segcli.masks import rle

CLASSES = tuple(SHAPES)
LEAST_VISIBLE = 24  # px: of what is hidden more, a person would not say that it is there
QUALITY = 93  # of the JPEGs


@dataclass(frozen=True, slots=True)
class Difficulty:
    """`overlap`: the share of objects that stand against another one, mostly of their own class;
    `objects`: their mean number in a scene; `scale`: their median diameter as a share of the
    scene's side; `classes`: which of CLASSES there are."""

    overlap: float
    objects: float
    scale: float
    classes: tuple[str, ...] = CLASSES

    @staticmethod
    def of(level: float) -> Difficulty:
        """From 0, a few objects apart from one another, to 1, a crowd."""
        return Difficulty(0.2 + 0.7 * level, 3 + 14 * level, 0.38 - 0.2 * level)


@dataclass(frozen=True, slots=True)
class Scene:
    """`pixels` uint8 (h, w, 3); of each object its `labels` (n,), what is seen of it in `masks`
    bool (n, h, w), and which share of it that is, `visible` (n,)."""

    pixels: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    labels: NDArray[np.int64]
    visible: NDArray[np.float64]


def make_scene(seed: int, number: int, *, size: int, difficulty: Difficulty) -> Scene:
    """One scene of `size` x `size` px."""
    rng = np.random.default_rng([seed, number])
    things = arrange(rng, size, difficulty)
    pixels, owner = compose(background(rng, size, size), things)
    chosen, whole = [], []
    for index, thing in enumerate(things):
        if thing.label >= 0 and (owner == index).sum() >= LEAST_VISIBLE:
            chosen.append(index)
            _, alone = compose(np.zeros((size, size, 3), np.float32), [thing])
            whole.append((alone == 0).sum())
    masks = np.stack([owner == index for index in chosen]) if chosen else owner[None][:0] >= 0
    return Scene(
        pixels=lit(rng, pixels),
        masks=masks,
        labels=np.array([things[index].label for index in chosen], np.int64),
        visible=masks.sum((1, 2)) / np.array(whole or np.zeros(0)),
    )


def arrange(rng: np.random.Generator, size: int, difficulty: Difficulty) -> list[Thing]:
    """Objects and clutter, back to front."""
    count = max(1, round(difficulty.objects * rng.uniform(0.5, 1.5)))
    objects: list[Thing] = []
    while len(objects) < count:
        if objects and rng.random() < difficulty.overlap:
            other = objects[int(rng.integers(len(objects)))]
            objects.append(_beside(rng, other, size, difficulty.classes))
        else:
            radius = 0.5 * size * difficulty.scale * float(np.exp(rng.normal(0, 0.4)))
            x, y = rng.uniform(0.05 * size, 0.95 * size, 2)
            objects.append(_thing(rng, _label(rng, difficulty.classes), (x, y), radius))
    # What stands lower is mostly nearer.
    nearness = [t.y + 0.5 * t.radius + rng.normal(0, 0.15 * size) for t in objects]
    ordered = [objects[i] for i in np.argsort(nearness, kind="stable")]
    behind = [_clutter(rng, size) for _ in range(int(rng.integers(2, 7)))]
    before = [_clutter(rng, size) for _ in range(int(rng.integers(0, 3)))]
    return [*behind, *ordered, *before]


def _label(rng: np.random.Generator, classes: Sequence[str]) -> int:
    return CLASSES.index(classes[int(rng.integers(len(classes)))])


def _beside(rng: np.random.Generator, other: Thing, size: int, classes: Sequence[str]) -> Thing:
    """An object that touches or hides another; mostly of its class and often of its looks."""
    same = rng.random() < 0.75
    label = other.label if same else _label(rng, classes)
    radius = other.radius * rng.uniform(0.7, 1.3)
    reach = (radius + other.radius) * rng.uniform(0.3, 0.8)
    angle = rng.uniform(0, 2 * np.pi)
    x = float(np.clip(other.x + reach * np.cos(angle), 0, size))
    y = float(np.clip(other.y + 0.6 * reach * np.sin(angle), 0, size))
    paints = other.paints if same and rng.random() < 0.5 else None
    return _thing(rng, label, (x, y), radius, paints=paints)


def _thing(
    rng: np.random.Generator,
    label: int,
    place: tuple[float, float],
    radius: float,
    *,
    paints: int | None = None,
) -> Thing:
    upright = CLASSES[label] in ("person", "car", "animal", "crate")
    return Thing(
        label=label,
        shape=SHAPES[CLASSES[label]](rng),
        x=place[0],
        y=place[1],
        radius=max(5.0, radius),
        turn=rng.normal(0, 0.15) if upright else rng.uniform(0, 2 * np.pi),
        mirrored=bool(rng.random() < 0.5),
        paints=int(rng.integers(2**31)) if paints is None else paints,
    )


def _clutter(rng: np.random.Generator, size: int) -> Thing:
    """A pole, a shard or a wedge: textured as objects are, and none of their classes."""
    if rng.random() < 0.5:
        wide = rng.uniform(0.02, 0.08)
        points = np.array([(-1, -wide), (1, -wide), (1, wide), (-1, wide)])
    else:
        angle = np.sort(rng.uniform(0, 2 * np.pi, 3))
        points = np.stack((np.cos(angle), np.sin(angle)), 1)
    x, y = rng.uniform(0, size, 2)
    radius = 0.5 * size * rng.uniform(0.05, 0.3)
    turn, paints = rng.uniform(0, 2 * np.pi), int(rng.integers(2**31))
    return Thing(-1, [Part(points, 0)], x, y, radius, turn, False, paints)


def annotations_of(scene: Scene, image_id: int) -> list[dict[str, Any]]:
    """COCO annotations without ids; `visible` beside COCO's own fields."""
    height, width = scene.masks.shape[1:]
    found = []
    for mask, label, visible in zip(scene.masks, scene.labels, scene.visible, strict=True):
        runs = rle.encode(mask)
        found.append({
            "image_id": image_id,
            "category_id": int(label) + 1,
            "segmentation": {"size": [height, width], "counts": runs.decode("ascii")},
            "bbox": list(rle.to_box(runs, height, width)),
            "area": int(mask.sum()),
            "iscrowd": 0,
            "visible": round(float(visible), 4),
        })  # fmt: skip
    return found


def measured(annotations: Sequence[dict[str, Any]], images: int) -> dict[str, float]:
    """How crowded the scenes came out: objects per image, the mean visible share, the median side
    in px, and the share of objects whose centre lies in another's box."""
    boxes: dict[int, list[list[float]]] = {}
    for annotation in annotations:
        boxes.setdefault(annotation["image_id"], []).append(annotation["bbox"])
    inside = 0
    for group in boxes.values():
        x, y, w, h = np.array(group).T
        centre = (x + w / 2)[:, None], (y + h / 2)[:, None]
        hit = (x < centre[0]) & (centre[0] < x + w) & (y < centre[1]) & (centre[1] < y + h)
        inside += int((hit.sum(1) > 1).sum())  # its own box is one of them
    total = max(1, len(annotations))
    return {
        "objects_per_image": round(len(annotations) / max(1, images), 3),
        "visible": round(sum(a["visible"] for a in annotations) / total, 4),
        "median_side_px": round(float(np.median([a["area"] ** 0.5 for a in annotations])), 2),
        "centre_in_another_box": round(inside / total, 4),
    }


def write(out: Path, *, count: int, size: int, seed: int, difficulty: Difficulty) -> None:
    """All scenes and their annotations."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number in range(count):
        scene = make_scene(seed, number, size=size, difficulty=difficulty)
        name = f"{number:05d}.jpg"
        data = io.BytesIO()
        Image.fromarray(scene.pixels).save(data, "JPEG", quality=QUALITY, subsampling=0)
        (out / "images" / name).write_bytes(data.getvalue())
        images.append({"id": number + 1, "file_name": name, "height": size, "width": size})
        for annotation in annotations_of(scene, number + 1):
            annotations.append({"id": len(annotations) + 1, **annotation})
    content = {
        "info": {
            "description": "crowded scenes, drawn by scripts/data/make_scenes.py",
            "seed": seed,
            "difficulty": asdict(difficulty),
            "measured": measured(annotations, count),
        },
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": i + 1, "name": name}
            for i, name in enumerate(CLASSES)
            if name in difficulty.classes
        ],
    }
    (out / "annotations.json").write_text(json.dumps(content))
    print(f"make_scenes: {count} scenes in {out}: {content['info']['measured']}")


def contact_sheet(out: Path, *, seed: int, size: int, difficulty: Difficulty) -> None:
    """Four by two scenes, and beneath each its objects in colours of their own."""
    sheet = Image.new("RGB", (4 * size, 4 * size))
    for number in range(8):
        scene = make_scene(seed, number, size=size, difficulty=difficulty)
        flat = scene.pixels // 4
        for index, mask in enumerate(scene.masks):
            hue = (index * 0.618 % 1) * 2 * np.pi
            flat[mask] = 150 + 100 * np.cos(hue + np.array([0, 2.1, 4.2]))
        place = (number % 4 * size, number // 4 * 2 * size)
        sheet.paste(Image.fromarray(scene.pixels), place)
        drawn = Image.fromarray(flat)
        pen = ImageDraw.Draw(drawn)
        for mask, label in zip(scene.masks, scene.labels, strict=True):
            y, x = (int(np.median(i)) for i in np.nonzero(mask))
            pen.text((x, y), CLASSES[label], fill=(0, 0, 0), anchor="mm")
        sheet.paste(drawn, (place[0], place[1] + size))
    sheet.resize((1024, 1024)).save(out, quality=66)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.data.make_scenes", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a folder; with --sheet a picture")
    parser.add_argument("--count", type=int, default=2000, help="scenes")
    parser.add_argument("--size", type=int, default=256, help="px of a side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--difficulty", type=float, default=0.5, help="0 to 1; sets the next three")
    parser.add_argument("--overlap", type=float, help="share that stands against another object")
    parser.add_argument("--objects", type=float, help="mean number in a scene")
    parser.add_argument("--scale", type=float, help="median diameter / side")
    parser.add_argument("--classes", nargs="+", choices=CLASSES, help="only these")
    parser.add_argument("--sheet", action="store_true", help="draw a contact sheet instead")
    options = parser.parse_args(arguments)
    level = Difficulty.of(options.difficulty)
    chosen = {name: getattr(options, name) for name in asdict(level)}
    given = {name: value for name, value in chosen.items() if value is not None}
    if "classes" in given:
        given["classes"] = tuple(given["classes"])
    difficulty = Difficulty(**{**asdict(level), **given})
    if options.sheet:
        contact_sheet(options.out, seed=options.seed, size=options.size, difficulty=difficulty)
        return 0
    write(
        options.out,
        count=options.count,
        size=options.size,
        seed=options.seed,
        difficulty=difficulty,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
