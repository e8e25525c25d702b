"""Join masks that a model found on overlapping tiles to masks of the whole image.

An object that is cut by a seam is found in several tiles. Masks are compared only in the overlap of
two tiles, which both of them show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segcli.masks import rle
from segcli.types import Segment, Size, Tile

SAME = 0.5
"""IoU, within what both tiles show, from which two masks of one category are one object."""

FRAGMENT = 0.7
"""Part of a mask that another one covers, from which a mask that a seam cuts is a piece of that
one, and a mask found on the scaled image a coarser copy of it."""

SHOWN = 0.7
"""Part of a mask found on the scaled image, from which fragments on tiles are all of the object."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment in the px of its `tile`; `whole`: that of the whole image, scaled down."""

    segment: Segment
    tile: Tile
    whole: bool = False

    def box(self) -> tuple[float, float, float, float]:
        """xyxy px of the image."""
        x, y, w, h = self.segment.box
        return x + self.tile.x, y + self.tile.y, x + w + self.tile.x, y + h + self.tile.y


def join(pieces: Sequence[Piece], size: Size) -> list[Segment]:
    """The segments of an image of `size` px, best first; pieces of one object become one segment.

    The mask and the box of a segment are the union of its pieces on tiles; its score is the best
    one. A mask found on the whole image is added only if the tiles do not show all of the object.
    """
    groups: dict[int, list[Piece]] = {}
    for index, root in enumerate(_roots(pieces, size)):
        groups.setdefault(root, []).append(pieces[index])
    joined = [_joined(group, size) for group in groups.values()]
    return sorted(joined, key=lambda segment: -segment.score)


def _roots(pieces: Sequence[Piece], size: Size) -> list[int]:
    """For each piece the number of its group: that of one of its pieces."""
    parent = list(range(len(pieces)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for one, other in _neighbours(pieces):
        first, second = root(one), root(other)
        if first != second and _same(pieces[one], pieces[other], size):
            parent[max(first, second)] = min(first, second)
    return [root(index) for index in range(len(pieces))]


def _neighbours(pieces: Sequence[Piece]) -> Iterator[tuple[int, int]]:
    """Pairs of one category, from two tiles, with boxes that touch within what both show."""
    boxes = np.array([piece.box() for piece in pieces]).reshape(-1, 4)
    labels = np.array([piece.segment.label for piece in pieces])
    tiles = {tile: number for number, tile in enumerate({piece.tile: None for piece in pieces})}
    places = np.array([tiles[piece.tile] for piece in pieces])
    for index in range(1, len(pieces)):
        near = (boxes[:index, :2] < boxes[index, 2:]).all(1)
        near &= (boxes[:index, 2:] > boxes[index, :2]).all(1)
        near &= (labels[:index] == labels[index]) & (places[:index] != places[index])
        yield from ((int(other), index) for other in np.flatnonzero(near))


def _same(one: Piece, other: Piece, size: Size) -> bool:
    """Whether two pieces show one object."""
    shared = one.tile.shared(other.tile)
    if not shared.height * shared.width:
        return False
    first, second = _within(one, shared), _within(other, shared)
    in_both = int((first & second).sum())
    areas = int(first.sum()), int(second.sum())
    if not in_both:
        return False
    if in_both >= SAME * (sum(areas) - in_both):
        return True
    small = one if areas[0] <= areas[1] else other
    return in_both >= FRAGMENT * min(areas) and (small.whole or _is_cut(small, size))


def _within(piece: Piece, shared: Tile) -> NDArray[np.bool_]:
    """The mask in a part of its tile, bool (height, width) of that."""
    tile = piece.tile
    window = Tile(shared.y - tile.y, shared.x - tile.x, shared.height, shared.width)
    return rle.decode_window(piece.segment.rle, (tile.height, tile.width), window)


def _is_cut(piece: Piece, size: Size) -> bool:
    """Whether the mask reaches a side of its tile beyond which the image goes on."""
    tile = piece.tile
    x, y, w, h = rle.to_box(piece.segment.rle, tile.height, tile.width)
    return (
        (y == 0 < tile.y)
        or (x == 0 < tile.x)
        or (y + h == tile.height < size[0] - tile.y)
        or (x + w == tile.width < size[1] - tile.x)
    )


def _joined(group: Sequence[Piece], size: Size) -> Segment:
    """One segment of the pieces of an object."""
    used = [piece for piece in group if not piece.whole]
    coarse = [piece for piece in group if piece.whole]
    if coarse and not (used and _show(used, coarse, size)):
        used = list(group)
    mask = _union(used, size)
    boxes = np.array([piece.box() for piece in used])
    x, y = boxes[:, :2].min(0).tolist()
    right, low = boxes[:, 2:].max(0).tolist()
    score = max(piece.segment.score for piece in group)
    area = rle.area(mask, *size)
    return Segment(group[0].segment.label, score, (x, y, right - x, low - y), area, mask)


def _show(used: Sequence[Piece], coarse: Sequence[Piece], size: Size) -> bool:
    """Whether the tiles show all of an object and not only fragments."""
    if not all(_is_cut(piece, size) for piece in used):
        return True
    fine, rough = _union(used, size), _union(coarse, size)
    area = rle.area(rough, *size)
    in_both = rle.area(fine, *size) + area - rle.area(rle.union([fine, rough], *size), *size)
    return in_both >= SHOWN * area


def _union(pieces: Sequence[Piece], size: Size) -> bytes:
    """The RLE of the union of the pieces in the image."""
    return rle.union([rle.place(piece.segment.rle, piece.tile, size) for piece in pieces], *size)
