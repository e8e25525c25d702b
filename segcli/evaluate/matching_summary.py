"""Sentences on the matching: what was compared by which rule, and what was not."""

from __future__ import annotations

from collections.abc import Sequence

from segcli.evaluate.matched import Matching
from segcli.plurals import counted, with_count

SHOWN = 5


def sentences(matching: Matching, *, missing: str = "error") -> list[str]:
    """First what was matched, then everything without a counterpart: counts and first names."""
    lines = [
        f"{counted(matching.compared, 'image')} compared, matched by {matching.images_by}; "
        f"categories by {matching.categories_by}"
    ]
    never = len(matching.never_predicted)
    if never:
        fate = "left out" if missing == "ignore" else "the objects count as missed"
        lines.append(
            with_count("{} images of the ground truth were never predicted", never)
            + f", {fate}: {_some(matching.never_predicted)}"
        )
    if matching.failed:
        fate = "left out" if missing == "ignore" else "all objects count as missed"
        first = [f"{key} ({reason})" for key, reason in matching.failed]
        lines.append(f"{counted(len(first), 'image')} failed in the run, {fate}: {_some(first)}")
    if matching.without_truth:
        lines.append(
            _counted(
                "{} predicted images are not in the ground truth and were left out",
                matching.without_truth,
            )
        )
    if matching.ambiguous:
        lines.append(_counted("{} names of several images are ambiguous", matching.ambiguous))
    if matching.rescaled:
        lines.append(
            _counted("{} images differ in size, their masks were stretched", matching.rescaled)
        )
    return [*lines, *_about_categories(matching), *matching.notes]


def _about_categories(matching: Matching) -> list[str]:
    lines = []
    if matching.truth_only:
        lines.append(
            _counted(
                "{} categories of the ground truth are unknown to the run and do not count "
                "(--categories all counts them)",
                _near(matching.truth_only),
            )
        )
    if matching.run_only:
        lines.append(
            _counted(
                "{} categories of the run are not in the ground truth and were left out",
                _near(matching.run_only),
            )
        )
    return lines


def _counted(sentence: str, names: Sequence[str]) -> str:
    """The sentence with their number, and the first of them."""
    return f"{with_count(sentence, len(names))}: {_some(names)}"


def _near(pairs: Sequence[tuple[str, str | None]]) -> list[str]:
    return [f"{name} (like {near}?)" if near else name for name, near in pairs]


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
