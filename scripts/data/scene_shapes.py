"""Outlines of the objects in crowded scenes: seven classes, each different every time.

A shape is a list of parts, back to front, in its own frame: x right, y down, about -1..1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (n, 2) x and y
HOLE = -1


@dataclass(frozen=True, slots=True)
class Part:
    """A polygon; parts of one `paint` share a texture, and HOLE cuts away what is there so far."""

    points: Points
    paint: int


Shape = list[Part]


def _ellipse(x: float, y: float, rx: float, ry: float, *, turn: float = 0.0) -> Points:
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return _turned(np.stack((rx * np.cos(angle), ry * np.sin(angle)), 1), turn) + (x, y)


def _turned(points: Points, angle: float) -> Points:
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _limb(start: Points, end: Points, width: float) -> Points:
    """A tapering bar with rounded ends from `start` to `end`."""
    along = (end - start) / max(1e-6, float(np.hypot(*(end - start))))
    across = np.array([-along[1], along[0]]) * width
    return np.array([
        start - along * width * 0.6, start + across, end + across * 0.7, end + along * width * 0.6,
        end - across * 0.7, start - across,
    ])  # fmt: skip


def _rounded(x: float, y: float, rx: float, ry: float, power: float = 4.0) -> Points:
    """A superellipse: between an ellipse (2) and a rectangle."""
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    radius = (np.abs(cos) ** power + np.abs(sin) ** power) ** (-1 / power)
    return np.stack((x + rx * radius * cos, y + ry * radius * sin), 1)


def person(rng: np.random.Generator) -> Shape:
    """Head, trunk, and limbs in a random pose; 0 skin, 1 shirt, 2 trousers, 3 hair."""
    lean = rng.normal(0, 0.08)
    hip, neck = np.array([0.0, 0.15]), np.array([lean, -0.55])
    broad = rng.uniform(0.19, 0.3)
    parts = []
    for side in (-1, 1):
        shoulder = neck + (side * broad * 0.9, 0.08)
        swing = rng.uniform(-0.3, 1.4) * side
        elbow = shoulder + 0.34 * np.array([np.sin(swing), np.cos(swing)])
        swing += rng.uniform(-0.9, 0.9)
        hand = elbow + 0.3 * np.array([np.sin(swing), np.cos(swing)])
        parts += [Part(_limb(elbow, hand, 0.055), 0), Part(_limb(shoulder, elbow, 0.08), 1)]
        stride = rng.uniform(0.0, 0.45) * side
        knee = hip + (side * broad * 0.4, 0.0) + 0.42 * np.array([np.sin(stride), np.cos(stride)])
        stride += rng.uniform(-0.4, 0.4)
        foot = knee + 0.42 * np.array([np.sin(stride), np.cos(stride)])
        parts += [Part(_limb(hip + (side * broad * 0.4, 0.0), knee, 0.12), 2)]
        parts += [Part(_limb(knee, foot, 0.085), 2)]
    trunk = np.array([
        neck + (-broad, 0.0), neck + (broad, 0.0), hip + (broad * 0.75, 0.08),
        hip + (-broad * 0.75, 0.08),
    ])  # fmt: skip
    head = neck + (lean * 0.5, -0.2)
    parts += [Part(trunk, 1), Part(_ellipse(*head, 0.14, 0.19), 0)]
    return [*parts, Part(_ellipse(head[0], head[1] - 0.09, 0.15, 0.11), 3)]


def car(rng: np.random.Generator) -> Shape:
    """Side view; 0 body, 1 glass, 2 tyres, 3 lights."""
    low, roof = 0.32, rng.uniform(-0.5, -0.22)
    front, back = rng.uniform(-0.62, -0.35), rng.uniform(0.35, 0.85)
    cabin = np.array([
        (front - 0.2, -0.02), (front + 0.08, roof), (back - 0.25, roof), (back, 0.0),
    ])  # fmt: skip
    inner = (cabin - cabin.mean(0)) * (0.82, 0.72) + cabin.mean(0)
    body = np.array([
        (-1, 0.08), (-0.93, -0.02), (front - 0.2, -0.08), (back, -0.08), (0.95, -0.02), (1, 0.2),
        (0.97, low), (-0.97, low),
    ])  # fmt: skip
    wheel = rng.uniform(0.17, 0.23)
    parts = [Part(cabin, 0), Part(inner, 1), Part(body, 0)]
    for x in (-0.58, 0.58):
        parts += [Part(_ellipse(x, low, wheel, wheel), 2)]
        parts += [Part(_ellipse(x, low, wheel * 0.5, wheel * 0.5), 3)]
    return [*parts, Part(_rounded(-0.92, 0.08, 0.06, 0.05), 3)]


def animal(rng: np.random.Generator) -> Shape:
    """Four legs, a trunk, a neck with a head, a tail; 0 coat, 1 patches."""
    length, deep = rng.uniform(0.5, 0.72), rng.uniform(0.2, 0.34)
    parts = []
    for x in (-length * 0.8, -length * 0.55, length * 0.6, length * 0.85):
        foot = np.array([x + rng.uniform(-0.2, 0.2), rng.uniform(0.6, 0.8)])
        parts.append(Part(_limb(np.array([x, deep * 0.4]), foot, 0.085), 0))
    tail = np.array([length + rng.uniform(0.05, 0.35), rng.uniform(-0.6, 0.3)])
    parts.append(Part(_limb(np.array([length * 0.9, -deep * 0.4]), tail, 0.05), 0))
    head = np.array([-length - rng.uniform(0.05, 0.25), rng.uniform(-0.65, -0.25)])
    parts.append(Part(_limb(np.array([-length * 0.75, -deep * 0.3]), head, 0.15), 0))
    parts.append(Part(_rounded(0, 0, length, deep, 2.6), 0))
    parts.append(Part(_ellipse(head[0] - 0.08, head[1], 0.22, 0.15, turn=rng.normal(0, 0.3)), 0))
    ear = head + [(0.02, -0.05), (0.14, -0.3), (0.16, -0.02)]
    return [*parts, Part(ear, 1), Part(_ellipse(rng.uniform(-0.3, 0.3), 0, 0.16, deep * 0.7), 1)]


def blob(rng: np.random.Generator) -> Shape:
    """A deformed disc: a few Fourier modes of its radius."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    radius = np.ones_like(angle)
    for mode in range(2, 6):
        radius += rng.normal(0, 0.35 / mode) * np.cos(mode * angle + rng.uniform(0, 6.3))
    radius = np.clip(radius, 0.35, 1.8) * 0.75
    points = np.stack((radius * np.cos(angle), radius * np.sin(angle)), 1)
    return [Part(points, 0)]


def crate(rng: np.random.Generator) -> Shape:
    """A box seen from a corner: three faces, three paints."""
    wide, tall = rng.uniform(0.5, 0.9), rng.uniform(0.4, 0.85)
    slant = np.array([rng.uniform(0.2, 0.5) * rng.choice((-1, 1)), -rng.uniform(0.15, 0.45)])
    corners = np.array([(-wide, -tall), (wide, -tall), (wide, tall), (-wide, tall)]) * 0.8
    side = corners[[1, 2]] if slant[0] > 0 else corners[[0, 3]]
    lid = np.concatenate((corners[[0, 1]], corners[[1, 0]] + slant))
    flank = np.concatenate((side, side[::-1] + slant))
    return [Part(flank, 1), Part(lid, 2), Part(corners, 0)]


def star(rng: np.random.Generator) -> Shape:
    """Deep notches: what a box describes badly."""
    spikes = int(rng.integers(4, 8))
    angle = np.linspace(0, 2 * np.pi, 2 * spikes, endpoint=False)
    radius = np.where(np.arange(2 * spikes) % 2, rng.uniform(0.3, 0.55), 1.0)
    radius = radius * rng.uniform(0.85, 1.15, 2 * spikes)
    return [Part(np.stack((radius * np.cos(angle), radius * np.sin(angle)), 1), 0)]


def ring(rng: np.random.Generator) -> Shape:
    """A hole in the middle, through which others are seen; its centre is no part of it."""
    wide, tall = rng.uniform(0.7, 1.0), rng.uniform(0.6, 1.0)
    inner = rng.uniform(0.4, 0.62)
    outer = Part(_ellipse(0, 0, wide, tall), 0)
    return [outer, Part(_ellipse(0, 0, wide * inner, tall * inner), HOLE)]


SHAPES: dict[str, Callable[[np.random.Generator], Shape]] = {
    "person": person,
    "car": car,
    "animal": animal,
    "blob": blob,
    "crate": crate,
    "star": star,
    "ring": ring,
}
