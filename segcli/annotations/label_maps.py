"""Categories of annotation files by name: several of one name, and their pairs in a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from segcli.annotations.ground_truth import Federated, GroundTruth
from segcli.errors import UsageError
from segcli.keypoints import Skeleton
from segcli.plurals import with_count
from segcli.suggest import nearest


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


def merged(truth: GroundTruth) -> GroundTruth:
    """Categories of one name (case does not count) as one, under the lowest id of them."""
    names = [_plain(name) for name in truth.category_names]
    first = {name: i for i, name in reversed([*enumerate(names)])}
    kept = sorted(first.values())
    if len(kept) == len(names):
        return truth
    place = {i: n for n, i in enumerate(kept)}
    new = np.array([place[first[name]] for name in names], np.int64)
    lost = len(new) - len(kept)
    ids = truth.category_ids.tolist()
    moved = {one: ids[kept[at]] for one, at in zip(ids, new.tolist(), strict=True)}
    return replace(
        truth,
        category_ids=truth.category_ids[kept],
        category_names=tuple(truth.category_names[i] for i in kept),
        category=new[truth.category],
        skeletons=_of_merged(truth.skeletons, new.tolist()),
        federated=None if truth.federated is None else _merged_lists(truth.federated, moved, kept),
        notes=(
            *truth.notes,
            with_count("{} categories were merged with another one of their name", lost),
        ),
        merged_ids={one: now for one, now in moved.items() if one != now},
    )


def _of_merged(skeletons: Sequence[Skeleton | None], new: Sequence[int]) -> list[Skeleton | None]:
    """Of each category that is left: the first skeleton of those that were merged."""
    found: dict[int, Skeleton | None] = {}
    for one, at in zip(skeletons, new, strict=True):
        found[at] = found.get(at) or one
    return [found[at] for at in sorted(found)]


def _merged_lists(
    federated: Federated, moved: Mapping[int | str, int | str], kept: list[int]
) -> Federated:
    absent, partly = (
        tuple(sorted({moved.get(one, one) for one in own}, key=str) for own in lists)
        for lists in (federated.absent, federated.not_exhaustive)
    )
    return Federated(absent, partly, tuple(federated.frequency[i] for i in kept))


def require_distinct_names(
    truth: GroundTruth,
    names: Sequence[str],
    *,
    advice: str = "give `merge_categories=True` to take them for one, or rename them",
) -> None:
    """Raises UsageError when one of `names` is that of several categories."""
    for name in names:
        same = [i for i, own in enumerate(truth.category_names) if own == name]
        if not same:
            same = [i for i, own in enumerate(truth.category_names) if _plain(own) == _plain(name)]
        if len(same) > 1:
            ids = ", ".join(str(truth.category_ids[i]) for i in same)
            raise UsageError(
                f"{truth.where}: {len(same)} categories are called {name!r} (ids {ids}); {advice}"
            )


def pair_categories(truth: GroundTruth, vocabulary: Sequence[tuple[str, int]]) -> CategoryPairs:
    """By name (case and spaces around it do not count); by id only where no name agrees at all.

    Raises UsageError when a name of the run is that of several categories of the ground truth.
    """
    require_distinct_names(truth, [name for name, _ in vocabulary])
    exact = {name: i for i, name in enumerate(truth.category_names)}
    plain = {_plain(name): i for i, name in enumerate(truth.category_names)}
    found = [exact.get(name, plain.get(_plain(name), -1)) for name, _ in vocabulary]
    rule = "name"
    if all(place < 0 for place in found):
        by_id = {number: i for i, number in enumerate(truth.category_ids.tolist())}
        found = [by_id.get(number, -1) for _, number in vocabulary]
        rule = "id" if any(place >= 0 for place in found) else "none"
    own = [name for name, _ in vocabulary]
    taken = set(found)
    left = [name for i, name in enumerate(truth.category_names) if i not in taken]
    lost = [name for name, place in zip(own, found, strict=True) if place < 0]
    return CategoryPairs(
        np.array(found, np.int64).reshape(-1),
        rule,
        tuple((name, nearest(name, lost)) for name in left),
        tuple((name, nearest(name, left)) for name in lost),
    )


def _plain(name: str) -> str:
    return name.strip().casefold()
