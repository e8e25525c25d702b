"""Which row belongs to which image of the ground truth, which category to which, and by what rule.

Nothing is matched silently: what has no partner, or more than one, is listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segcli.evaluate.predictions import Rows
from segcli.evaluate.truth import Truth
from segcli.suggest import nearest


@dataclass(frozen=True, slots=True)
class ImagePairs:
    """`row` (I,): for each image of the ground truth its row, -1 without one.

    `without_truth` are keys; `ambiguous` names of the ground truth that several rows or several
    images bear.
    """

    row: NDArray[np.int64]
    rule: str
    without_truth: tuple[str, ...]
    ambiguous: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CategoryPairs:
    """`truth` (V,): for each category of the run its index in the ground truth, -1 without one.

    `truth_only` and `run_only` are the names left over, each with the nearest name of the other
    side, if any is near.
    """

    truth: NDArray[np.int64]
    rule: str
    truth_only: tuple[tuple[str, str | None], ...]
    run_only: tuple[tuple[str, str | None], ...]


def pair_images(truth: Truth, rows: Rows) -> ImagePairs:
    """By relative path, else by file name where only one image and one row bear it."""
    by_path = _singles(rows.names)
    row = np.array([by_path.get(name, -1) if name else -1 for name in truth.names], np.int64)
    repeated = {name for name, count in Counter(truth.names).items() if count > 1}
    for i, name in enumerate(truth.names):
        if name in repeated:
            row[i] = -1
    paths = int((row >= 0).sum())
    ambiguous = _pair_by_file_name(truth.names, rows.names, row)
    rules = ["relative path"] * (paths > 0) + ["file name"] * (int((row >= 0).sum()) > paths)
    taken = set(row.tolist())
    return ImagePairs(
        row,
        " or ".join(rules) or "none",
        tuple(key for i, key in enumerate(rows.keys) if i not in taken),
        ambiguous,
    )


def _pair_by_file_name(
    wanted: Sequence[str], there: Sequence[str], row: NDArray[np.int64]
) -> tuple[str, ...]:
    """Fills `row` where it is -1; gives the names that could not be told apart."""
    left = np.flatnonzero(row < 0).tolist()
    if not left:
        return ()
    own = Counter(_file_name(name) for name in wanted)
    others = Counter(_file_name(name) for name in there)
    place = {_file_name(name): i for i, name in enumerate(there)}
    taken = set(row.tolist())
    ambiguous = []
    for i in left:
        name = _file_name(wanted[i])
        if not name or name not in place:
            continue
        if own[name] > 1 or others[name] > 1 or place[name] in taken:
            ambiguous.append(wanted[i])
        else:
            row[i] = place[name]
    return tuple(ambiguous)


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _singles(names: Sequence[str]) -> dict[str, int]:
    """Place of each name that occurs once."""
    counts = Counter(names)
    return {name: i for i, name in enumerate(names) if counts[name] == 1}


def pair_categories(truth: Truth, vocabulary: Sequence[tuple[str, int]]) -> CategoryPairs:
    """By name (case and spaces around it do not count); by id only where no name agrees at all."""
    names = [_plain(name) for name in truth.category_names]
    by_name = _singles(names)
    found = [by_name.get(_plain(name), -1) for name, _ in vocabulary]
    rule = "name"
    if all(place < 0 for place in found):
        by_id = {int(number): i for i, number in enumerate(truth.category_ids)}
        found = [by_id.get(number, -1) for _, number in vocabulary]
        rule = "id" if any(place >= 0 for place in found) else "none"
    own = [name for name, _ in vocabulary]
    taken = set(found)
    left = [name for i, name in enumerate(truth.category_names) if i not in taken]
    lost = [name for name, place in zip(own, found, strict=True) if place < 0]
    return CategoryPairs(
        np.array(found, np.int64).reshape(-1),
        rule,
        tuple((name, _near(name, lost)) for name in left),
        tuple((name, _near(name, left)) for name in lost),
    )


def _plain(name: str) -> str:
    return name.strip().casefold()


def _near(name: str, others: Sequence[str]) -> str | None:
    return nearest(name, others)
