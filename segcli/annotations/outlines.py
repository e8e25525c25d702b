"""Check the masks of annotation files all at once, without converting them."""

from __future__ import annotations

import ast
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.annotations.columns import Gathered, identity, number
from segcli.errors import UsageError
from segcli.masks import rle
from segcli.masks.batch import Masks, measure

Outline = list[list[float]] | dict[str, Any]
"""Polygons, or {"size": [h, w], "counts": ...}, checked: compressed as bytes, or a list of runs."""

_SHORT = "{} polygons of fewer than three points were left out"
_OTHERWISE = (
    "{} masks were written otherwise than COCO does (numbers as text, points in pairs, a polygon "
    "that is in no list) and were read as meant"
)
_FARTHEST = 5  # image sides that a coordinate may lie outside, as in segcli.masks.rle


def check_outlines(
    items: Sequence[Mapping[str, Any]],
    sizes: NDArray[np.int64],
    name: Callable[[int], str],
    *,
    required: bool = True,
    notes: Counter[str] | None = None,
) -> list[Outline | None]:
    """The segmentation of each object in an image of `sizes` (n, 2) px.

    `name` says how messages call an object. None for an object without a mask where none is
    `required`. `notes` counts polygons of fewer than three points that were left out beside a good
    one, or where no mask is required; None: they are refused. Raises UsageError naming the object
    whose mask is missing, damaged or of another size.
    """
    if isinstance(items, Gathered) and "segmentation" in items.columns:
        found = list(items.columns["segmentation"])
    else:
        found = [item.get("segmentation") for item in items]
    if not required:
        found = [one if _is_mask(one) else None for one in found]
        found = [None if _only_short(one, notes) else one for one in found]
    allowed = {list, dict} if required else {list, dict, type(None)}
    if set(map(type, found)) - allowed:
        at = next(i for i, one in enumerate(found) if type(one) not in allowed)
        raise UsageError(
            f"{name(at)} has no mask: expected a segmentation of polygons or of "
            "run lengths; compare boxes with `iou='bbox'`"
        )
    drawn = [i for i, one in enumerate(found) if type(one) is list]
    suspects = _suspects([found[i] for i in drawn], sizes[drawn])
    for i in (drawn[one] for one in suspects):
        found[i] = _careful(found[i], sizes[i], name(i), notes)
    if len(drawn) < len(found):
        _check_runs(found, sizes, name)
    return found


def _is_mask(segmentation: Any) -> bool:
    """Whether there is anything in it."""
    if type(segmentation) is list:
        return any(_is_mask(one) for one in segmentation)
    return segmentation not in (None, {}, "")


def _only_short(segmentation: Any, notes: Counter[str] | None) -> bool:
    """Whether all of its polygons are points and lines; these are then counted."""
    if notes is None or type(segmentation) is not list:
        return False
    if not all(type(one) is list and len(one) < 6 and len(one) % 2 == 0 for one in segmentation):
        return False
    if any(type(side) is list for one in segmentation for side in one):
        return False
    if _is_points(segmentation):
        return False
    notes[_SHORT] += len(segmentation)
    return True


def to_rle(outline: Outline, height: int, width: int) -> bytes:
    """The compressed counts of a checked outline."""
    if isinstance(outline, dict):
        counts: bytes | list[int] = outline["counts"]
        return counts if isinstance(counts, bytes) else rle.from_runs(counts, height, width)
    return rle.from_polygons(outline, height, width)


def _suspects(drawn: list[Any], sizes: NDArray[np.int64]) -> list[int]:
    """The quick check of all polygons; what it does not like gets the careful one."""
    if not drawn:
        return []
    polygons = list(chain.from_iterable(drawn))
    counts = np.fromiter(map(len, drawn), np.int64, len(drawn))
    owner = np.repeat(np.arange(len(drawn)), counts)
    suspects = set(np.flatnonzero(counts == 0).tolist())
    if set(map(type, polygons)) - {list}:
        suspects |= {int(o) for o, p in zip(owner, polygons, strict=True) if type(p) is not list}
        owner = np.array([o for o in owner.tolist() if o not in suspects], np.int64)
        polygons = [p for i, one in enumerate(drawn) if i not in suspects for p in one]
    values = _floats(list(chain.from_iterable(polygons)))
    if values is None:
        return list(range(len(drawn)))
    lengths = np.fromiter(map(len, polygons), np.int64, len(polygons))
    return sorted(suspects | set(owner[_unusual(values, lengths, sizes[owner])].tolist()))


def _floats(numbers: list[Any]) -> NDArray[np.float64] | None:
    """None when one of them is no number, or beyond every float."""
    try:
        values = np.frombuffer(array("d", numbers))
    except (TypeError, OverflowError):
        return None
    # true and false pass for numbers there, but only as 1 and 0: look at the type of these alone.
    doubtful = np.flatnonzero((values == 0) | (values == 1)).tolist()
    return None if any(type(numbers[i]) is bool for i in doubtful) else values


def _unusual(
    values: NDArray[np.float64], lengths: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which polygons are too short, odd, not finite, or absurdly far outside."""
    bad: NDArray[np.bool_] = (lengths < 6) | (lengths % 2 == 1)
    if bad.any():
        values, lengths, sizes = values[np.repeat(~bad, lengths)], lengths[~bad], sizes[~bad]
    if len(lengths):
        farthest = np.maximum.reduceat(np.abs(values), np.cumsum(lengths) - lengths)
        bad[~bad] = ~(farthest <= _FARTHEST * sizes.max(1))  # True for NaN
    return bad


def _careful(
    polygons: Any, size: NDArray[np.int64], name: str, notes: Counter[str] | None
) -> list[list[float]]:
    """The polygons, less those that are points or lines where a good one is among them."""
    try:
        if not _is_mask(polygons):
            raise UsageError("its segmentation is empty; compare boxes with `iou='bbox'`")
        if notes is not None and (meant := _as_coco(polygons)) != polygons:
            notes[_OTHERWISE] += 1
            polygons = meant
        for polygon in polygons:
            if type(polygon) is not list or set(map(type, polygon)) - {int, float}:
                raise UsageError("a polygon must be a list of numbers x0, y0, x1, y1, ...")
        kept = [one for one in polygons if len(one) >= 6 or len(one) % 2]
        if notes is None or not kept:
            kept = polygons
        try:
            rle.from_polygons(kept, int(size[0]), int(size[1]))
        except OverflowError:
            raise UsageError("a polygon with a number beyond every image") from None
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None
    if notes is not None and len(kept) < len(polygons):
        notes[_SHORT] += len(polygons) - len(kept)
    return kept


def _as_coco(polygons: list[Any]) -> list[Any]:
    """Polygons in other spellings whose meaning is clear, as COCO writes them."""
    if _is_points(polygons) or not any(type(one) is list for one in polygons):
        polygons = [polygons]
    flat = [list(chain.from_iterable(one)) if _is_points(one) else one for one in polygons]
    return [[number(side) for side in one] if type(one) is list else one for one in flat]


def _is_points(given: Any) -> bool:
    """Whether it is a polygon of points [x, y]."""
    return (
        type(given) is list
        and len(given) >= 3
        and all(type(point) is list and len(point) == 2 for point in given)
        and not any(type(side) is list for point in given for side in point)
    )


def _check_runs(found: list[Any], sizes: NDArray[np.int64], name: Callable[[int], str]) -> None:
    """Compressed counts become bytes; plain ones stay as they are."""
    coded, texts = [], []
    for i, one in enumerate(found):
        if type(one) is not dict:
            continue
        size, counts = one.get("size"), one.get("counts")
        tall, wide = sizes[i].tolist()
        if type(size) is not list or [identity(number(side)) for side in size] != [tall, wide]:
            raise UsageError(
                f"{name(i)}: its mask is of size {size}, but its image has {tall} x {wide} px"
            )
        if isinstance(counts, str | bytes):
            coded.append(i)
            texts.append(_bytes(counts))
            counts = texts[-1]
        else:
            counts = _check_plain(counts, tall * wide, name(i))
        found[i] = {"size": [tall, wide], "counts": counts}
    measure(Masks.of(texts), sizes[coded], name=lambda i: name(coded[i]))


def _bytes(counts: str | bytes) -> bytes:
    """Also of a text like "b'0o1'", which is what Python's str() makes of bytes."""
    if isinstance(counts, bytes):
        return counts
    if counts[:2] in ("b'", 'b"'):  # no quotation mark can occur in counts
        with suppress(ValueError, SyntaxError):
            literal = ast.literal_eval(counts)
            return literal if isinstance(literal, bytes) else b""
    return counts.encode("ascii", "replace")


def _check_plain(counts: Any, pixels: int, name: str) -> list[int]:
    """Run lengths as a list: whole numbers, none below 0, that fill the image."""
    if type(counts) is list and set(map(type, counts)) & {float, str}:
        counts = [identity(number(run)) for run in counts]
    if type(counts) is not list or not counts or set(map(type, counts)) - {int}:
        raise UsageError(f"{name}: its run lengths are neither text nor a list of whole numbers")
    if min(counts) < 0 or sum(counts) != pixels:
        raise UsageError(
            f"{name}: its run lengths sum to {sum(counts)} px, the least is {min(counts)}; "
            f"expected {pixels} px in all, none below 0"
        )
    return counts
