"""Extract columns from lists of JSON objects; every value is checked, and errors name it."""

from __future__ import annotations

import contextlib
import json
import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from segcli.errors import UsageError
from segcli.startup import uncollected

_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)

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
    """Raises UsageError if the file cannot be read or is not JSON."""
    try:
        with uncollected():
            return parse_json(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"no such file: {path}; expected annotations as COCO json") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except RecursionError:
        raise UsageError(f"{path} is nested too deeply to be COCO json") from None
    except UnicodeError as error:
        raise UsageError(f"{path} is not text in UTF-8 ({error}); convert it") from None
    except ValueError as error:
        raise UsageError(f"{path} is not valid JSON ({error}); is it truncated?") from None


def parse_json(text: bytes) -> Any:
    """orjson is three times as fast; json knows NaN, so that its place can be named, and UTF-16.

    Raises ValueError, and RecursionError.
    """
    if not text.strip():
        raise ValueError("the file is empty")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        document = json.loads(text)
    # Half a character, as in "\\ud800", which no text can hold. Bytes in names of files may be.
    json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogateescape")
    return document


def objects(document: Any, key: str, where: str) -> list[dict[str, Any]]:
    """The list of objects under `key`, each of them a JSON object."""
    if not isinstance(document, dict):
        raise UsageError(f"{where} is not COCO JSON: expected an object with images, annotations")
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
    """Whole numbers of 64 bits; 1.0, "1" and "1.0" are taken for 1, true is refused."""
    values = _values(items, key, what)
    if set(map(type, values)) - {int}:
        values = [identity(number(value)) for value in values]
        if set(map(type, values)) - {int}:
            at = next(i for i, v in enumerate(values) if type(v) is not int)
            shown = _shown(_values(items, key, what)[at])
            raise _wrong(items, at, what, f'"{key}": {shown}; expected a whole number')
    try:
        return np.array(array("q", values), np.int64)
    except OverflowError:
        at = next(i for i, v in enumerate(values) if not -(2**63) <= v < 2**63)
        reason = f'"{key}": {_shown(values[at])} does not fit in 64 bits'
        raise _wrong(items, at, what, reason) from None


def identities(items: Items, key: str, what: str) -> NDArray[Any]:
    """Ids: int64, or objects (int and str) where some are texts or do not fit in 64 bits.

    1.0 and "1" are the id 1: tools that go through tables or Python write them so.
    """
    values = _values(items, key, what)
    if set(map(type, values)) - {int}:
        given, values = values, [identity(value) for value in values]
        if None in values:
            at = values.index(None)
            reason = f'"{key}": {_shown(given[at])}; expected a whole number or a text'
            raise _wrong(items, at, what, reason)
    if set(map(type, values)) <= {int}:
        with contextlib.suppress(OverflowError):
            return np.array(array("q", values), np.int64)
    found = np.empty(len(values), object)
    found[:] = values
    return found


def identity(value: Any) -> int | str | None:
    """An id as it is compared: the whole number that it stands for, or its text; None: no id."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not str or not value:
        return None
    whole = value.removeprefix("-")
    # "007" is a text of its own: it may stand beside "7".
    plain = whole.isascii() and whole.isdecimal() and (whole == "0" or whole[0] != "0")
    return int(value) if plain and len(value) < 40 else value


def number(value: Any) -> Any:
    """The number that a text stands for; anything else, and other texts, as they are."""
    if type(value) is not str or not _NUMBER.fullmatch(value):
        return value
    return float(value)


def _plain(values: list[Any]) -> list[Any]:
    """The values, with the numbers for texts: looked at one by one only where there are texts."""
    return [number(value) for value in values] if str in set(map(type, values)) else values


def numbers(items: Items, key: str, what: str) -> NDArray[np.float64]:
    """Finite numbers; "1200.0" is taken for 1200."""
    values = _plain(_values(items, key, what))
    if set(map(type, values)) - {int, float}:
        at = next(i for i, v in enumerate(values) if type(v) not in (int, float))
        raise _wrong(items, at, what, f'"{key}": {_shown(values[at])}; expected a number')
    found = _floats(values)
    if not np.isfinite(found).all():
        at = int(np.flatnonzero(~np.isfinite(found))[0])
        raise _wrong(items, at, what, f'"{key}": {values[at]}; expected a finite number')
    return found


def boxes(items: Items, key: str, what: str) -> NDArray[np.float64]:
    """Boxes (n, 4), xywh px: finite, no side below 0; "12.5" is taken for 12.5."""
    values = _values(items, key, what)
    if set(map(type, values)) - {list} or set(map(len, values)) - {4}:
        at = next(i for i, v in enumerate(values) if type(v) is not list or len(v) != 4)
        raise _wrong(items, at, what, f'"{key}": {_shown(values[at])}; expected [x, y, w, h]')
    flat = _plain(list(chain.from_iterable(values)))
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


def unique(values: NDArray[Any], items: Items, key: str, what: str) -> None:
    """Raises UsageError for an id that comes twice."""
    if values.dtype == object:
        counts = Counter(values.tolist())
        twice = [i for i, value in enumerate(values.tolist()) if counts[value] > 1][1:2]
    else:
        order = np.argsort(values, kind="stable")
        same = np.flatnonzero(np.diff(values[order]) == 0)[:1]
        twice = order[same + 1].tolist()
    for at in twice:
        raise _wrong(items, at, what, f"the {key} {_one_line(values[at])} comes twice")


def find(values: NDArray[Any], among: NDArray[Any]) -> NDArray[np.int64]:
    """Where each id stands in `among`, whose ids differ; -1 for an unknown one."""
    if object in (values.dtype, among.dtype) or (np.diff(among) <= 0).any():
        place = {value: i for i, value in enumerate(among.tolist())}
        return np.array([place.get(value, -1) for value in values.tolist()], np.int64)
    at = np.searchsorted(among, values)
    known = at < len(among)
    known[known] = among[at[known]] == values[known]
    return np.where(known, at, -1)


def places(
    values: NDArray[Any], among: NDArray[Any], items: Items, what: str, *, of: str
) -> NDArray[np.int64]:
    """Where each id stands in `among`; raises UsageError for an unknown one."""
    at = find(values, among)
    if (at < 0).any():
        wrong = int(np.flatnonzero(at < 0)[0])
        raise _wrong(
            items,
            wrong,
            what,
            f"it is of {of} {_one_line(values[wrong])}, which the ground truth lacks",
        )
    return at


def name_of(items: Items, at: int, what: str) -> str:
    """How an object is called in messages: by its id where it has one, else by its place."""
    number = identity(items[at].get("id"))
    return f"{what} at place {at}" if number is None else f"{what} {_one_line(number)}"


def _one_line(number: Any) -> str:
    """An id in a message, which stays one line whatever text the id is."""
    text = str(number)
    return text if text.isprintable() else repr(text)


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
