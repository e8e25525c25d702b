"""Draw round objects that touch, like cells or grains, with exact masks in COCO format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segcli.masks import rle


def draw(
    seed: int, number: int, *, size: int, objects: int = 11
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A picture (size, size, 3) of ellipses that touch but hardly overlap, and which px is whose,
    0 for none. All look alike: only their outlines part them."""
    rng = np.random.default_rng([seed, number])
    y, x = np.mgrid[:size, :size] + 0.5
    light = rng.normal(70, 9, (size, size)) + 12 * np.sin(x / 17 + rng.uniform(0, 6))
    owner = np.zeros((size, size), dtype=np.int64)
    placed: list[tuple[float, float, float]] = []
    for _ in range(60 * objects):
        radius = size * rng.uniform(0.09, 0.14)
        near = placed[int(rng.integers(len(placed)))] if placed and rng.random() < 0.85 else None
        centre = rng.uniform(0, size, 2)
        if near is not None:
            angle = rng.uniform(0, 2 * np.pi)
            reach = 0.98 * (radius + near[2])
            centre = np.array(near[:2]) + reach * np.array([np.sin(angle), np.cos(angle)])
        free = all(
            np.hypot(centre[0] - a, centre[1] - b) >= 0.95 * (radius + r) for a, b, r in placed
        )
        if not free or not ((centre > 0) & (centre < size)).all():
            continue
        turn, flat = rng.uniform(0, np.pi), rng.uniform(0.85, 1.15)
        u = (x - centre[1]) * np.cos(turn) + (y - centre[0]) * np.sin(turn)
        v = (y - centre[0]) * np.cos(turn) - (x - centre[1]) * np.sin(turn)
        away = np.hypot(u * flat, v / flat) / radius
        inside = (away < 1.03) & (owner == 0)
        placed.append((*centre.tolist(), radius))
        owner[inside] = len(placed)
        shade = 175 - 45 * away**4 + rng.normal(0, 9, (size, size))
        light[inside] = shade[inside]
        if len(placed) == objects:
            break
    pixels = np.clip(light[:, :, None] * [0.9, 1.0, 0.85], 0, 255).astype(np.uint8)
    return pixels, owner


def write(out: Path, *, count: int, size: int, seed: int) -> None:
    """`count` pictures under out/images, and out/annotations.json."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number in range(count):
        pixels, owner = draw(seed, number, size=size)
        name = f"{number:05d}.png"
        Image.fromarray(pixels).save(out / "images" / name)
        images.append({"id": number + 1, "file_name": name, "height": size, "width": size})
        for index in range(1, owner.max() + 1):
            mask = owner == index
            if not mask.any():
                continue
            runs = rle.encode(mask)
            annotations.append({
                "id": len(annotations) + 1, "image_id": number + 1, "category_id": 1, "iscrowd": 0,
                "segmentation": {"size": [size, size], "counts": runs.decode("ascii")},
                "bbox": list(rle.to_box(runs, size, size)), "area": int(mask.sum()),
            })  # fmt: skip
    categories = [{"id": 1, "name": "blob"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (out / "annotations.json").write_text(json.dumps(content))
