"""Join masks that a model found on overlapping tiles to masks of the whole image.

An object that is cut by a seam is found in several tiles. Masks are compared only in the overlap of
two tiles, which both of them show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from segcli.masks import rle
from segcli.types import Segment, Size, Tile

SAME = 0.5
"""IoU, within what both tiles show, from which two masks of one category are one object."""

COVERED = 0.7
"""Part of a mask that another one covers, from which it says no more than that: a sliver that a
seam cuts off, a fragment of an object larger than a tile, or the coarser mask of a small one."""


Keypoints = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment in the px of its `tile`."""

    segment: Segment
    tile: Tile

    def box(self) -> tuple[float, float, float, float]:
        """xyxy px of the image."""
        x, y, w, h = self.segment.box
        return x + self.tile.x, y + self.tile.y, x + w + self.tile.x, y + h + self.tile.y

    def is_cut(self, size: Size) -> bool:
        """Whether the mask ends at a side of its tile beyond which the image of `size` goes on.

        It may end up to 2 px, or 1/32 of its own side, before that: a model draws masks on a
        coarse grid or inside of a box, so half a cell may be missing, or the box may end early.
        """
        tile = self.tile
        x, y, w, h = rle.to_box(self.segment.rle, tile.height, tile.width)
        down, across = max(2.0, h / 32), max(2.0, w / 32)
        return (
            (tile.y > 0 and y <= down)
            or (tile.x > 0 and x <= across)
            or (tile.height < size[0] - tile.y and y + h >= tile.height - down)
            or (tile.width < size[1] - tile.x and x + w >= tile.width - across)
        )


@dataclass(frozen=True, slots=True)
class _Object:
    """A segment in the px of the image; `cut`: a seam ends every mask that it is made of."""

    segment: Segment
    cut: bool


def join(pieces: Sequence[Piece], whole: Sequence[Segment], size: Size) -> list[Segment]:
    """The segments of an image of `size` px, best first.

    Pieces that show one object become one segment: the mask of a tile that shows it whole, or the
    union of the masks, and of the boxes; with the best score. `whole` are the segments that were
    found on the whole image, scaled down: one of them gives way to the finer masks of tiles that
    cover it, or to one that is the same object, and takes in those that are fragments of it.
    """
    groups: dict[int, list[Piece]] = {}
    for index, root in enumerate(_roots(pieces, size)):
        groups.setdefault(root, []).append(pieces[index])
    objects = [_joined(group, size) for group in groups.values()]
    for segment in whole:
        objects = _with_whole(objects, segment, size)
    return sorted((each.segment for each in objects), key=lambda segment: -segment.score)


def _roots(pieces: Sequence[Piece], size: Size) -> list[int]:
    """For each piece the number of its group: that of one of its pieces.

    A group has one piece of a tile at most, for a model tells the objects of a tile apart; those
    that agree best find each other first.
    """
    root = list(range(len(pieces)))
    tiles = [{piece.tile} for piece in pieces]
    pairs = [
        (agreement, one, other)
        for one, other in _neighbours(pieces)
        if (agreement := _agreement(pieces[one], pieces[other], size))
    ]
    for _, one, other in sorted(pairs, key=lambda pair: -pair[0]):
        first, second = sorted((root[one], root[other]))
        if first != second and not tiles[first] & tiles[second]:
            tiles[first] |= tiles[second]
            root = [first if each == second else each for each in root]
    return root


def _neighbours(pieces: Sequence[Piece]) -> Iterator[tuple[int, int]]:
    """Pairs of one category, from two tiles, whose boxes overlap."""
    boxes = np.array([piece.box() for piece in pieces]).reshape(-1, 4)
    labels = np.array([piece.segment.label for piece in pieces])
    tiles = {tile: number for number, tile in enumerate({piece.tile: None for piece in pieces})}
    places = np.array([tiles[piece.tile] for piece in pieces])
    for index in range(1, len(pieces)):
        near = (boxes[:index, :2] < boxes[index, 2:]).all(1)
        near &= (boxes[:index, 2:] > boxes[index, :2]).all(1)
        near &= (labels[:index] == labels[index]) & (places[:index] != places[index])
        yield from ((int(other), index) for other in np.flatnonzero(near))


def _agreement(one: Piece, other: Piece, size: Size) -> float:
    """How well two pieces agree about what both tiles show, as an IoU, or how much of a sliver
    the other one covers; 0 where they show two objects."""
    shared = one.tile.shared(other.tile)
    if not shared.height * shared.width:
        return 0.0
    first, second = _within(one, shared), _within(other, shared)
    in_both = int((first & second).sum())
    iou = in_both / max(1, int(first.sum()) + int(second.sum()) - in_both)
    if iou >= SAME:
        return iou
    small = min(one, other, key=lambda piece: piece.segment.area)
    covered = in_both / small.segment.area
    return covered if covered >= COVERED and small.is_cut(size) else 0.0


def _within(piece: Piece, shared: Tile) -> NDArray[np.bool_]:
    """The mask in a part of its tile, bool (height, width) of that."""
    tile = piece.tile
    window = Tile(shared.y - tile.y, shared.x - tile.x, shared.height, shared.width)
    return rle.decode_window(piece.segment.rle, (tile.height, tile.width), window)


def _joined(group: Sequence[Piece], size: Size) -> _Object:
    """The object that the pieces of a group show: the best one that shows it whole, or all."""
    entire = [piece for piece in group if not piece.is_cut(size)]
    best = max(entire, key=lambda piece: piece.segment.score) if entire else None
    placed = [
        replace(
            piece.segment,
            box=_xywh(*piece.box()),
            rle=rle.place(piece.segment.rle, piece.tile, size),
            keypoints=_moved(piece),
        )
        for piece in (group if best is None else [best])
    ]
    merged = _best_scored(_merged(placed, size), [piece.segment for piece in group])
    return _Object(merged, cut=best is None)


def _moved(piece: Piece) -> Keypoints | None:
    """The keypoints in px of the image."""
    points, tile = piece.segment.keypoints, piece.tile
    return points and tuple((x + tile.x, y + tile.y, score) for x, y, score in points)


def _best_scored(segment: Segment, among: Sequence[Segment]) -> Segment:
    """With the best score and the best mask score of those segments."""
    rated = [one.mask_score for one in among if one.mask_score is not None]
    score = max(one.score for one in among)
    return replace(segment, score=score, mask_score=max(rated, default=None))


def _best_keypoints(segments: Sequence[Segment]) -> Keypoints | None:
    """Of each keypoint the place with the best score."""
    known = [segment.keypoints for segment in segments if segment.keypoints is not None]
    if not known:
        return None
    return tuple(max(same, key=lambda point: point[2]) for same in zip(*known, strict=True))


def _merged(segments: Sequence[Segment], size: Size) -> Segment:
    """One segment of several in the px of the image."""
    if len(segments) == 1:
        return segments[0]
    mask = rle.union([segment.rle for segment in segments], *size)
    boxes = np.array([segment.box for segment in segments])
    corners = np.concatenate((boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)))
    box = _xywh(*corners.tolist())
    merged = replace(
        segments[0], box=box, area=rle.area(mask, *size), rle=mask,
        keypoints=_best_keypoints(segments),
    )  # fmt: skip
    return _best_scored(merged, segments)


def _xywh(x: float, y: float, right: float, low: float) -> tuple[float, float, float, float]:
    return x, y, right - x, low - y


def _with_whole(objects: list[_Object], whole: Segment, size: Size) -> list[_Object]:
    """The objects of the tiles and one that was found on the whole image."""
    shared = [_shared(each.segment, whole, size) for each in objects]
    for index, (each, in_both) in enumerate(zip(objects, shared, strict=True)):
        union = each.segment.area + whole.area - in_both
        if in_both >= COVERED * whole.area or (not each.cut and in_both >= SAME * union):
            segment = _best_scored(each.segment, [each.segment, whole])
            objects[index] = replace(each, segment=segment)
            return objects
    fragments = [
        index
        for index, (each, in_both) in enumerate(zip(objects, shared, strict=True))
        if each.cut and in_both and in_both >= COVERED * each.segment.area
    ]
    if fragments and sum(shared[index] for index in fragments) >= COVERED * whole.area:
        return objects  # several objects in the tiles that look like one from afar
    merged = _merged([whole, *(objects[index].segment for index in fragments)], size)
    others = [each for index, each in enumerate(objects) if index not in fragments]
    return [*others, _Object(merged, cut=False)]


def _shared(one: Segment, other: Segment, size: Size) -> int:
    """The px of the image that are in both masks, of one category."""
    (x, y, w, h), (left, top, wide, tall) = one.box, other.box
    apart = x >= left + wide or left >= x + w or y >= top + tall or top >= y + h
    if apart or one.label != other.label:
        return 0
    return one.area + other.area - rle.area(rle.union([one.rle, other.rle], *size), *size)
