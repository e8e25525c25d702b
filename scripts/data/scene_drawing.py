"""Draw objects back to front and light the picture; returns the visible part of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from scripts.data.scene_shapes import HOLE, Shape
from scripts.data.scene_textures import Pixels, cloud, paint, photograph

_FINE = 2  # outlines are drawn so many times larger, then shrunk: soft edges


@dataclass(frozen=True, slots=True)
class Thing:
    """One object, or clutter (`label` -1): `x`, `y` px of its centre and `radius` px of its frame.

    `paints` seeds its textures: things of one seed look alike. `turn` in radians.
    """

    label: int
    shape: Shape
    x: float
    y: float
    radius: float
    turn: float
    mirrored: bool
    paints: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A thing on its own: `colour` (h, w, 3), `alpha` (h, w) in 0..1, first px `top`, `left`."""

    colour: Pixels
    alpha: NDArray[np.float32]
    top: int
    left: int


def draw(thing: Thing) -> Drawn:
    """Textured, rounded by shade, lit from above."""
    outlines = [(_placed(part.points, thing), part.paint) for part in thing.shape]
    everything = np.concatenate([points for points, _ in outlines])
    left, top = np.floor(everything.min(0)).astype(int) - 2
    right, bottom = np.ceil(everything.max(0)).astype(int) + 3
    height, width = int(bottom - top), int(right - left)
    colour = np.zeros((height, width, 3), np.float32)
    alpha = np.zeros((height, width), np.float32)
    textures: dict[int, Pixels] = {}
    for points, number in outlines:
        cover = _cover(points - (left, top), height, width)
        if number == HOLE:
            alpha *= 1 - cover
            continue
        if number not in textures:
            rng = np.random.default_rng([thing.paints, number])
            textures[number] = paint(rng, height, width)
        part = textures[number] * _shade(cover, thing.radius * 0.12)[..., None]
        colour += cover[..., None] * (part - colour)
        alpha = np.maximum(alpha, cover)
    fall = np.linspace(1.12, 0.8, height, dtype=np.float32)[:, None]
    colour *= (_shade(alpha, thing.radius * 0.3) * fall)[..., None]
    return Drawn(colour, alpha, int(top), int(left))


def _placed(points: NDArray[np.float64], thing: Thing) -> NDArray[np.float64]:
    """From the frame of the shape to px."""
    x, y = points[:, 0] * (-1 if thing.mirrored else 1), points[:, 1]
    cos, sin = np.cos(thing.turn), np.sin(thing.turn)
    turned = np.stack((x * cos - y * sin, x * sin + y * cos), 1)
    return turned * thing.radius + (thing.x, thing.y)


def _cover(points: NDArray[np.float64], height: int, width: int) -> NDArray[np.float32]:
    """The share (h, w) of every pixel inside a polygon."""
    fine = Image.new("L", (width * _FINE, height * _FINE))
    ImageDraw.Draw(fine).polygon([(x * _FINE, y * _FINE) for x, y in points], fill=255)
    return np.asarray(fine.reduce(_FINE), np.float32) / 255


def _shade(alpha: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Darker towards the outline, as on a rounded body: factors (h, w)."""
    return (0.72 + 0.38 * _blurred(alpha, max(1.0, radius))).astype(np.float32)


def _blurred(alpha: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    image = Image.fromarray((alpha * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def compose(ground: Pixels, things: Sequence[Thing]) -> tuple[Pixels, NDArray[np.int64]]:
    """Draw things over `ground` (h, w, 3), each with its shadow.

    Also tells which thing is seen in each pixel: (h, w), an index or -1 for the ground.
    """
    pixels = ground.copy()
    owner = np.full(ground.shape[:2], -1, np.int64)
    for index, thing in enumerate(things):
        drawn = draw(thing)
        window, inner = _overlap(drawn, ground.shape[0], ground.shape[1])
        if window is None:
            continue
        reach = max(1, round(thing.radius * 0.1))
        shadow = np.roll(_blurred(drawn.alpha, reach), (reach, reach // 2), (0, 1))[inner]
        alpha = drawn.alpha[inner]
        pixels[window] *= 1 - 0.45 * (shadow * (1 - alpha))[..., None]
        pixels[window] += alpha[..., None] * (drawn.colour[inner] - pixels[window])
        owner[window][alpha >= 0.5] = index
    return pixels, owner


def _overlap(
    drawn: Drawn, height: int, width: int
) -> tuple[tuple[slice, slice] | None, tuple[slice, slice]]:
    """Where a drawing lies on the canvas, and which part of it; None where it lies outside."""
    h, w = drawn.alpha.shape
    top, left = max(drawn.top, 0), max(drawn.left, 0)
    bottom, right = min(drawn.top + h, height), min(drawn.left + w, width)
    inner = (
        slice(top - drawn.top, bottom - drawn.top),
        slice(left - drawn.left, right - drawn.left),
    )
    if bottom <= top or right <= left:
        return None, inner
    return (slice(top, bottom), slice(left, right)), inner


def background(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """A photograph, or two above each other, somewhat out of focus and of less contrast."""
    ground = photograph(rng, height, width)
    if rng.random() < 0.5:
        line = int(height * rng.uniform(0.25, 0.6))
        ground = ground.copy()
        ground[line:] = photograph(rng, height - line, width)
    image = Image.fromarray(ground.astype(np.uint8))
    soft = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.6)))
    ground = np.asarray(soft, np.float32)
    mean = ground.mean((0, 1))
    return mean + rng.uniform(0.55, 1.0) * (ground - mean)


def lit(rng: np.random.Generator, pixels: Pixels) -> NDArray[np.uint8]:
    """Uneven light, white balance, gamma, perhaps a soft lens, and noise."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.4)
    light = 1 + slope * (x * np.cos(angle) + y * np.sin(angle))
    light = light * (0.75 + 0.5 * cloud(rng, height, width, cells=3))
    white = rng.uniform(0.88, 1.12, 3)
    exposed = np.clip(pixels * light[..., None] * white, 0, 255) / 255
    exposed = exposed ** rng.uniform(0.75, 1.35)
    image = Image.fromarray((exposed * 255).astype(np.uint8))
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    noise = rng.normal(0, rng.uniform(0.5, 6.0), (height, width, 1))
    return np.clip(np.asarray(image, np.float32) + noise, 0, 255).astype(np.uint8)
