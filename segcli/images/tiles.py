"""Tiles of an image too large for a model: where they lie, and their pixels.

A model sees an image scaled down to its canvas, so small objects of a large image vanish. On tiles
they have the size that they have in the original.
"""

from __future__ import annotations

from dataclasses import dataclass

from segcli.errors import UsageError
from segcli.types import Image, ModelInfo, Size, Tile

OVERLAP = 0.2
"""Of a tile's side; an object smaller than that is whole in one of the tiles."""

LEAST = 64  # px; on smaller tiles the overlap would be a few px


@dataclass(frozen=True, slots=True)
class Slicing:
    """Tiles of `side` px, of which neighbours share at least `overlap` px."""

    side: int
    overlap: int

    def tiles(self, size: Size) -> list[Tile]:
        """The tiles of an image of `size` px, row by row, all equally large and evenly spaced.

        An image that is no larger than a tile has one, itself.
        """
        height, width = (min(side, self.side) for side in size)
        return [
            Tile(y, x, height, width) for y in self._starts(size[0]) for x in self._starts(size[1])
        ]

    def _starts(self, length: int) -> list[int]:
        if length <= self.side:
            return [0]
        step = self.side - self.overlap
        count = -(-(length - self.overlap) // step)
        return [i * (length - self.side) // (count - 1) for i in range(count)]

    def cuts(self, image: Image) -> bool:
        """Whether the image has more than one tile."""
        height, width = image.pixels.shape[:2]
        return bool(height > self.side or width > self.side)


def slicing_of(text: str | None, info: ModelInfo) -> Slicing | None:
    """What "auto" or a number of px asks for; None for None.

    "auto": tiles as large as the model's canvas, where one px of it is one px of the original.
    Raises UsageError.
    """
    if text is None:
        return None
    if text != "auto" and not (text.isdecimal() and int(text) >= LEAST):
        raise UsageError(
            f"`slice` {text}: expected auto, or the side of a tile, at least {LEAST} px"
        )
    side = info.resize.short if text == "auto" else int(text)
    return Slicing(side, int(side * OVERLAP))


def cut(image: Image, tile: Tile) -> Image:
    """The pixels of a tile as an image; they are not copied."""
    pixels = image.pixels[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
    return Image(image.key, pixels, (tile.height, tile.width))
