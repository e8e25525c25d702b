"""Columns out of lists of JSON objects, every value checked; an error names the object."""

from __future__ import annotations

import gc
import json
from array import array
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from segcli.errors import UsageError

Items = Sequence[Mapping[str, Any]]


class Gathered(list[Mapping[str, Any]]):
    """Objects with the values of some keys at hand, `columns`.

    Going through millions of objects once for all keys is much faster than once for each.
    """

    def __init__(self, items: Items, keys: Sequence[str]) -> None:
        super().__init__(items)
        self.columns: dict[str, list[Any]] = {}
        try:
            rows = list(map(itemgetter(*keys), items))
        except KeyError:
            return  # whoever asks for the key that is missing says so
        values = zip(*rows, strict=True) if rows else [[]] * len(keys)
        self.columns = {key: list(column) for key, column in zip(keys, values, strict=True)}


def load_json(path: Path) -> Any:
    """Raises UsageError when the file cannot be read or is no JSON."""
    collecting = gc.isenabled()
    gc.disable()  # nothing can be freed while millions of small lists are made
    try:
        return _parsed(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"no such file: {path}; expected annotations as COCO json") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except RecursionError:
        raise UsageError(f"{path} is nested too deeply to be COCO json") from None
    except ValueError as error:
        raise UsageError(f"{path} is no valid JSON ({error}); is it cut off?") from None
    finally:
        if collecting:
            gc.enable()


def _parsed(text: bytes) -> Any:
    """orjson is three times as fast; json knows NaN, so that its place can be named."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def objects(document: Any, key: str, where: str) -> list[dict[str, Any]]:
    """The list of objects under `key`, each of them a JSON object."""
    found = document.get(key)
    if not isinstance(found, list):
        raise UsageError(f'{where} has no list "{key}"; expected COCO json: images, annotations')
    return checked_objects(found, f'{where}: "{key}"')


def checked_objects(found: list[Any], where: str) -> list[dict[str, Any]]:
    if set(map(type, found)) - {dict}:
        at = next(i for i, item in enumerate(found) if type(item) is not dict)
        raise UsageError(f"{where}[{at}] is {_shown(found[at])}; expected an object")
    return found


def integers(items: Items, key: str, what: str) -> NDArray[np.int64]:
    """Whole numbers of 64 bits; true and 1.0 are none."""
    values = _values(items, key, what)
    if set(map(type, values)) - {int}:
        at = next(i for i, v in enumerate(values) if type(v) is not int)
        raise _wrong(items, at, what, f'"{key}": {_shown(values[at])}; expected a whole number')
    try:
        return np.array(array("q", values), np.int64)
    except OverflowError:
        at = next(i for i, v in enumerate(values) if not -(2**63) <= v < 2**63)
        reason = f'"{key}": {_shown(values[at])} does not fit in 64 bits'
        raise _wrong(items, at, what, reason) from None


def numbers(items: Items, key: str, what: str) -> NDArray[np.float64]:
    """Finite numbers."""
    values = _values(items, key, what)
    if set(map(type, values)) - {int, float}:
        at = next(i for i, v in enumerate(values) if type(v) not in (int, float))
        raise _wrong(items, at, what, f'"{key}": {_shown(values[at])}; expected a number')
    found = _floats(values)
    if not np.isfinite(found).all():
        at = int(np.flatnonzero(~np.isfinite(found))[0])
        raise _wrong(items, at, what, f'"{key}": {values[at]}; expected a finite number')
    return found


def boxes(items: Items, key: str, what: str) -> NDArray[np.float64]:
    """Boxes (n, 4), xywh px: finite, no side below 0."""
    values = _values(items, key, what)
    if set(map(type, values)) - {list} or set(map(len, values)) - {4}:
        at = next(i for i, v in enumerate(values) if type(v) is not list or len(v) != 4)
        raise _wrong(items, at, what, f'"{key}": {_shown(values[at])}; expected [x, y, w, h]')
    flat = list(chain.from_iterable(values))
    if set(map(type, flat)) - {int, float}:
        at = next(i for i, v in enumerate(flat) if type(v) not in (int, float)) // 4
        raise _wrong(items, at, what, f'"{key}": {_shown(values[at])}; expected four numbers')
    found = _floats(flat).reshape(-1, 4)
    bad = ~np.isfinite(found).all(1) | (found[:, 2:] < 0).any(1)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        reason = f'"{key}": {values[at]}; expected finite numbers [x, y, w, h], no side below 0'
        raise _wrong(items, at, what, reason)
    return found


def unique(values: NDArray[np.int64], items: Items, key: str, what: str) -> None:
    """Raises UsageError for a number that comes twice."""
    order = np.argsort(values, kind="stable")
    twice = np.flatnonzero(np.diff(values[order]) == 0)
    if len(twice):
        reason = f"the {key} {values[order[twice[0]]]} comes twice"
        raise _wrong(items, int(order[twice[0] + 1]), what, reason)


def places(
    values: NDArray[np.int64], among: NDArray[np.int64], items: Items, what: str, *, of: str
) -> NDArray[np.int64]:
    """Where each value stands in the ascending `among`; raises UsageError for an unknown one."""
    at = np.searchsorted(among, values)
    known = at < len(among)
    known[known] = among[at[known]] == values[known]
    if not known.all():
        wrong = int(np.flatnonzero(~known)[0])
        raise _wrong(
            items, wrong, what, f"it is of {of} {values[wrong]}, which the ground truth lacks"
        )
    return at


def name_of(items: Items, at: int, what: str) -> str:
    """How an object is called in messages: by its id where it has one, else by its place."""
    number = items[at].get("id")
    return f"{what} {number}" if type(number) is int else f"{what} at place {at}"


def _floats(values: list[Any]) -> NDArray[np.float64]:
    try:
        return np.array(array("d", values), np.float64)
    except OverflowError:  # a whole number beyond every float
        return np.array([v if abs(v) < 1e300 else np.inf for v in values], np.float64)


def _values(items: Items, key: str, what: str) -> list[Any]:
    if isinstance(items, Gathered) and key in items.columns:
        return items.columns[key]
    try:
        return list(map(itemgetter(key), items))
    except KeyError:
        at = next(i for i, item in enumerate(items) if key not in item)
        raise _wrong(items, at, what, f'it has no "{key}"') from None


def _wrong(items: Items, at: int, what: str, reason: str) -> UsageError:
    return UsageError(f"{name_of(items, at, what)}: {reason}")


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
