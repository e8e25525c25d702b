"""Pictures for the toy, and the rows that come of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset

Row = tuple[Any, ...]


def picture(seed: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Grey with a red, a green and a blue rectangle somewhere: (*size, 3) uint8."""
    rng = np.random.default_rng(seed)
    pixels = np.full((*size, 3), 90, np.uint8)
    for colour in range(3):
        top, left = (int(rng.integers(0, side // 2 + 1)) for side in size)
        pixels[top : top + size[0] // 3 + 1, left : left + size[1] // 3 + 1] = 40
        pixels[top : top + size[0] // 3 + 1, left : left + size[1] // 3 + 1, colour] = 200
    return pixels


def rows(out: Path) -> list[Row]:
    """Every row of an output, ordered by key and mask; the directory read as one table."""
    table = pyarrow.dataset.dataset(out).to_table().sort_by([("key", "ascending")])
    names = table.column_names
    found = [tuple(row[name] for name in names) for row in table.to_pylist()]
    number = names.index("mask")
    return [_hashable(r) for r in sorted(found, key=lambda r: (r[0], r[number] or 0))]


def _hashable(row: Row) -> Row:
    return tuple(tuple(value.values()) if isinstance(value, dict) else value for value in row)


def keys(out: Path) -> list[str]:
    """The key of every image, once each; sorted."""
    table = pyarrow.dataset.dataset(out).to_table(columns=["key", "mask"])
    first = [r["key"] for r in table.to_pylist() if r["mask"] in (None, 0)]
    return sorted(first)
