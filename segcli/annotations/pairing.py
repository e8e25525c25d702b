"""Match images of the ground truth with rows of an output.

Nothing is guessed: images without a counterpart, or with several, are listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segcli.annotations.paths import spellings


@dataclass(frozen=True, slots=True)
class ImagePairs:
    """`row` (I,): for each image of the ground truth its row, -1 without one.

    `without_truth` are rows; `ambiguous` names of the ground truth that several rows or several
    images have.
    """

    row: NDArray[np.int64]
    rule: str
    without_truth: tuple[int, ...]
    ambiguous: tuple[str, ...]


def pair_images(wanted: Sequence[str], there: Sequence[str]) -> ImagePairs:
    """Pair the names of the ground truth with those of the rows: by relative path, else by file
    name where only one image and one row have it. A path of another spelling matches too: one
    of Windows, an address of Label Studio or of the web, one with more folders in front."""
    by_path = _singles(there)
    row = np.array([by_path.get(name, -1) if name else -1 for name in wanted], np.int64)
    _pair_by_spelling(wanted, by_path, row)
    counts = Counter(wanted)
    for i, name in enumerate(wanted):
        if counts[name] > 1:
            row[i] = -1
    paths = int((row >= 0).sum())
    ambiguous = _pair_by_file_name(wanted, there, row)
    rules = ["relative path"] * (paths > 0) + ["file name"] * (int((row >= 0).sum()) > paths)
    taken = set(row.tolist())
    return ImagePairs(
        row,
        " or ".join(rules) or "none",
        tuple(i for i in range(len(there)) if i not in taken),
        ambiguous,
    )


def _pair_by_spelling(
    wanted: Sequence[str], by_path: Mapping[str, int], row: NDArray[np.int64]
) -> None:
    """Fills `row` where another spelling of a name is the path of one row, and only of this one."""
    taken = set(row.tolist())
    claims: dict[int, list[int]] = {}
    for i in np.flatnonzero(row < 0).tolist():
        there = (by_path.get(path, -1) for path in spellings(wanted[i]) if "/" in path)
        at = next((at for at in there if at not in taken), -1) if wanted[i] else -1
        claims.setdefault(at, []).append(i)
    for at, own in claims.items():
        if at >= 0 and len(own) == 1:
            row[own[0]] = at


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
