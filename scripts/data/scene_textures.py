"""Textures of objects and backgrounds in crowded scenes: photographs and patterns."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float32]  # (h, w, 3) RGB, 0..255

PHOTOGRAPHS = {
    "skimage": (
        "data",
        "astronaut.png brick.png chelsea.png coffee.png grass.png gravel.png hubble_deep_field.jpg"
        " ihc.png motorcycle_left.png retina.jpg rocket.jpg",
    ),
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
}
_LARGEST = 640  # px: larger photographs are shrunk when read


@cache
def photographs() -> tuple[Image.Image, ...]:
    """The real photographs that scikit-image and scikit-learn ship, RGB."""
    found = []
    for package, (inside, names) in PHOTOGRAPHS.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit(f"make_scenes: {package} is not installed; scripts/setup installs it")
        for name in names.split():
            with Image.open(Path(spec.origin).parent / inside / name) as image:
                image = image.convert("RGB")
                image.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BILINEAR)
                found.append(image)
    return tuple(found)


def photograph(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """A random cut of a random photograph, zoomed by up to 3, perhaps mirrored."""
    source = photographs()[int(rng.integers(len(photographs())))]
    zoom = min(rng.uniform(0.6, 3.0), 0.98 * source.width / width, 0.98 * source.height / height)
    wide, tall = zoom * width, zoom * height
    left, top = rng.uniform(0, source.width - wide), rng.uniform(0, source.height - tall)
    box = (left, top, left + wide, top + tall)
    cut = source.resize((width, height), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(cut, np.float32)
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def pattern(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Stripes, checks, dots or cloud in two colours."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 24)
    u = (x * np.cos(angle) + y * np.sin(angle)) / period
    v = (y * np.cos(angle) - x * np.sin(angle)) / period
    kind = int(rng.integers(4))
    if kind == 0:
        share = 0.5 + 0.5 * np.sin(2 * np.pi * u)
    elif kind == 1:
        share = ((np.floor(u) + np.floor(v)) % 2).astype(np.float32)
    elif kind == 2:
        share = ((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.09).astype(np.float32)
    else:
        share = cloud(rng, height, width, cells=6)
    first, second = rng.uniform(20, 235, (2, 3)).astype(np.float32)
    mixed = first + share[..., None].astype(np.float32) * (second - first)
    return mixed.astype(np.float32)


def cloud(rng: np.random.Generator, height: int, width: int, *, cells: int) -> NDArray[np.float32]:
    """Smooth noise (h, w) in 0..1."""
    coarse = Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8))
    smooth = coarse.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32) / 255


def paint(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """A texture for a part of an object: a photograph, a pattern, or nearly one colour."""
    kind = rng.random()
    if kind < 0.5:
        found = photograph(rng, height, width)
    elif kind < 0.75:
        found = pattern(rng, height, width)
    else:
        plain = np.full((height, width, 3), 128, np.float32)
        found = plain + 40 * (cloud(rng, height, width, cells=4)[..., None] - 0.5)
    tint = rng.uniform(25, 230, 3).astype(np.float32)
    strength = rng.uniform(0.15, 0.7)
    contrast = rng.uniform(0.6, 1.1)
    mixed = found + strength * (tint - found.mean((0, 1)))
    mean = mixed.mean((0, 1))
    return np.clip(mean + contrast * (mixed - mean), 0, 255).astype(np.float32)
