"""Draw the two figures of the contract: python -m scripts.figures.contract.

Writes docs/contract.svg (canvas, content, fields and extents) and docs/postprocess.svg (one cell
between four knots, and the root on a column of pixels).
"""

from __future__ import annotations

import math
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
INK, GREY, BLUE, ORANGE, GREEN = "#222222", "#8a8a8a", "#0072b2", "#d55e00", "#009e73"


class Picture:
    """SVG shapes in px, y downwards, on white."""

    def __init__(self, width: int, height: int) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="14">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
        ]

    def box(self, x: float, y: float, w: float, h: float, **style: str) -> None:
        self._shape("rect", f'x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}"', style)

    def line(self, *points: tuple[float, float], **style: str) -> None:
        at = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._shape("polyline", f'points="{at}"', {"fill": "none", **style})

    def dot(self, x: float, y: float, radius: float = 3, **style: str) -> None:
        self._shape("circle", f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"', style)

    def ellipse(self, x: float, y: float, a: float, b: float, **style: str) -> None:
        turns = [2 * math.pi * k / 48 for k in range(49)]
        around = [(x + a * math.cos(turn), y + b * math.sin(turn)) for turn in turns]
        self.line(*around, **style)

    def text(
        self, x: float, y: float, words: str, colour: str = INK, anchor: str = "start"
    ) -> None:
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" fill="{colour}" text-anchor="{anchor}">{words}</text>'
        )

    def _shape(self, kind: str, where: str, style: dict[str, str]) -> None:
        said = {"fill": "none", "stroke": INK, **style}
        attributes = " ".join(f'{name.replace("_", "-")}="{v}"' for name, v in said.items())
        self.parts.append(f"<{kind} {where} {attributes}/>")

    def save(self, path: Path) -> None:
        path.write_text("\n".join([*self.parts, "</svg>", ""]))
        print(f"figures: {path.name}, {path.stat().st_size / 1e3:.0f} kB")


# The field of the object that is drawn: 6 x 5 cells of probabilities.
FIELD = (
    (0.0, 0.1, 0.3, 0.1, 0.0),
    (0.1, 0.7, 0.9, 0.6, 0.1),
    (0.3, 0.9, 1.0, 0.9, 0.2),
    (0.3, 0.9, 1.0, 0.8, 0.2),
    (0.1, 0.6, 0.9, 0.4, 0.1),
    (0.0, 0.1, 0.2, 0.1, 0.0),
)


def contract() -> Picture:
    """The original, the canvas with content, box and extent, and the field by itself."""
    picture = Picture(940, 330)
    picture.text(20, 28, "original image")
    picture.box(20, 40, 240, 160)
    picture.ellipse(117.5, 133.75, 36, 42.5, fill="#cfe3f2")
    picture.text(140, 220, "image_size (H, W) original px", GREY, "middle")
    picture.line((268, 120), (300, 120), stroke=GREY)
    picture.line((294, 115), (300, 120), (294, 125), stroke=GREY)

    picture.text(310, 28, "canvas: what the network sees")
    picture.box(310, 40, 224, 192, fill="#eeeeee", stroke=GREY)
    picture.box(310, 40, 192, 128, fill="white")
    picture.ellipse(388, 115, 29, 34, fill="#cfe3f2")
    picture.text(318, 58, "content (h, w) canvas px", GREY)
    picture.text(318, 220, "padding, zero after normalising", GREY)
    x, y, cell = 350, 68, 16
    picture.box(x, y, 5 * cell, 6 * cell, stroke=BLUE, stroke_width="2")
    for i in range(1, 6):
        picture.line((x, y + i * cell), (x + 5 * cell, y + i * cell), stroke=BLUE, opacity="0.4")
    for j in range(1, 5):
        picture.line((x + j * cell, y), (x + j * cell, y + 6 * cell), stroke=BLUE, opacity="0.4")
    picture.box(x + 9, y + 13, 58, 68, stroke=ORANGE, stroke_width="2", stroke_dasharray="5 3")
    picture.text(422, 256, "extents[k], xyxy canvas px", BLUE, "middle")
    picture.text(422, 276, "boxes[k], xyxy canvas px", ORANGE, "middle")
    picture.line((542, 120), (574, 120), stroke=GREY)
    picture.line((568, 115), (574, 120), (568, 125), stroke=GREY)

    picture.text(590, 28, "fields[k], (h, w) numbers")
    x, y, cell = 590, 40, 36
    for i, row in enumerate(FIELD):
        for j, value in enumerate(row):
            shade = round(255 - 140 * value)
            at = (x + j * cell, y + i * cell)
            picture.box(*at, cell, cell, fill=f"rgb({shade},{shade},255)", stroke=GREY)
            picture.text(at[0] + cell / 2, at[1] + 14, f"{value:g}", INK, "middle")
            picture.dot(at[0] + cell / 2, at[1] + cell / 2 + 4, 2, fill=INK)
    picture.text(590, 280, "Each number stands at the centre of its cell.", GREY)
    picture.text(590, 300, "A pixel of the original belongs to the mask", GREY)
    picture.text(590, 320, "if the value at its centre reaches threshold.", GREY)
    return picture


# What the four knots exceed the threshold by: upper left, upper right, lower left, lower right.
A, B, C, D = 0.45, 0.2, -0.15, -0.55


def cell() -> Picture:
    """One cell between four knots, the outline through it, and a column of pixel centres."""
    picture = Picture(640, 400)
    x0, y0, side = 90.0, 60.0, 280.0
    picture.box(x0, y0, side, side, fill="#f7f7f7", stroke=GREY)
    inside = [(x0, y0), (x0 + side, y0)]
    outline = []
    for step in range(41):
        u = step / 40
        upper, lower = A * (1 - u) + B * u, C * (1 - u) + D * u
        outline.append((x0 + u * side, y0 + side * upper / (upper - lower)))
    shaded = [*inside, *reversed(outline)]
    picture.line(*shaded, inside[0], fill="#cfe3f2", stroke="none")
    picture.line(*outline, stroke=BLUE, stroke_width="2")
    names = (("a", A, x0, y0), ("b", B, x0 + side, y0), ("c", C, x0, y0 + side),
             ("d", D, x0 + side, y0 + side))  # fmt: skip
    for name, value, x, y in names:
        picture.dot(x, y, 5, fill=INK)
        beyond = -12 if y == y0 else 24
        picture.text(x, y + beyond, f"{name} = {value:+g}", INK, "middle")
    u = 0.4
    x = x0 + u * side
    upper, lower = A * (1 - u) + B * u, C * (1 - u) + D * u
    root = y0 + side * upper / (upper - lower)
    picture.line((x, y0 - 25), (x, y0 + side + 25), stroke=GREY, stroke_dasharray="4 3")
    for k in range(-1, 10):
        y = y0 + 14 + 31 * k
        held = y < root
        picture.dot(x, y, 4, fill=BLUE if held else "white", stroke=BLUE)
    picture.dot(x, root, 5, fill=ORANGE, stroke=ORANGE)
    picture.line((x0 - 8, root), (x, root), stroke=ORANGE, stroke_dasharray="2 2")
    picture.text(x0 - 14, root + 5, "t", ORANGE, "end")
    picture.text(x, y0 + side + 45, "u = 0.4", GREY, "middle")
    notes = (
        ("knots: centres of field cells, with", INK),
        ("what they exceed the threshold by", INK),
        ("", INK),
        ("outline: where the value is 0", BLUE),
        ("", INK),
        ("pixel centres of one column,", BLUE),
        ("filled where they are in the mask", BLUE),
        ("", INK),
        ("root t = p / (p - q) with", ORANGE),
        ("p = a (1 - u) + b u", ORANGE),
        ("q = c (1 - u) + d u", ORANGE),
    )
    for number, (words, colour) in enumerate(notes):
        picture.text(400, 90 + 22 * number, words, colour)
    return picture


def main() -> None:
    contract().save(DOCS / "contract.svg")
    cell().save(DOCS / "postprocess.svg")


if __name__ == "__main__":
    main()
