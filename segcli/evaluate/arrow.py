"""Arrow's columns as NumPy arrays, straight from memory.

Arrow's own functions would import its compute kernels first, and with Python values among the
arguments pandas as well, where there is one: half a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def valid(array: pa.Array) -> NDArray[np.bool_]:
    """Where there is a value."""
    bits = array.buffers()[0]
    if bits is None or not array.null_count:
        return np.ones(len(array), bool)
    every = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
    return every[array.offset : array.offset + len(array)].astype(bool)


def plain(array: pa.Array, kind: type[np.generic]) -> NDArray[Any]:
    """The values of an array of numbers; where there is none, whatever lies there."""
    data = array.buffers()[1]
    if data is None:
        return np.zeros(len(array), kind)
    return np.frombuffer(data, kind)[array.offset : array.offset + len(array)]


def box(array: pa.StructArray) -> NDArray[np.float64]:
    """(n, 4) of a struct of x, y, w, h; NaN where there is none."""
    there = valid(array)
    sides = []
    for name in "xywh":
        side = array.field(name)
        sides.append(np.where(there & valid(side), plain(side, np.float64), np.nan))
    return np.stack(sides, 1)


def codes(array: pa.DictionaryArray) -> NDArray[np.int64]:
    """Where each text stands in the dictionary; -1 where there is none."""
    return np.where(valid(array.indices), plain(array.indices, np.int32), -1).astype(np.int64)


def texts(array: pa.DictionaryArray, rows: NDArray[Any]) -> list[Any]:
    """The texts of some rows, given as flags or numbers; None where there is none."""
    words = [*array.dictionary.to_pylist(), None]
    return [words[i] for i in codes(array)[rows].tolist()]


def joined(parts: Sequence[NDArray[Any]], *, wide: int | None = None) -> NDArray[Any]:
    """One after another; also where there is none, rows of `wide` values then."""
    return np.concatenate(parts) if parts else np.zeros((0, wide) if wide else 0)
