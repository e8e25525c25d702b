"""Sentences on the matching: what was compared by which rule, and what was not."""

from __future__ import annotations

from collections.abc import Sequence

from segcli.evaluate.matched import Matching

SHOWN = 5


def sentences(matching: Matching, *, missing: str = "error") -> list[str]:
    """First what was matched, then everything without a counterpart: counts and first names."""
    lines = [
        f"{matching.compared} images compared, matched by {matching.images_by}; categories by "
        f"{matching.categories_by}"
    ]
    never = len(matching.never_predicted)
    if never:
        fate = "left out" if missing == "ignore" else "their objects count as missed"
        lines.append(
            f"{never} images of the ground truth were never predicted, {fate}: "
            f"{_some(matching.never_predicted)}"
        )
    if matching.failed:
        fate = "left out" if missing == "ignore" else "all their objects count as missed"
        first = [f"{key} ({reason})" for key, reason in matching.failed]
        lines.append(f"{len(first)} images failed in the run, {fate}: {_some(first)}")
    if matching.without_truth:
        lines.append(
            f"{len(matching.without_truth)} predicted images are not in the ground truth and were "
            f"left out: {_some(matching.without_truth)}"
        )
    if matching.ambiguous:
        lines.append(
            f"{len(matching.ambiguous)} names are ambiguous, because several images have them: "
            f"{_some(matching.ambiguous)}"
        )
    if matching.rescaled:
        lines.append(
            f"{len(matching.rescaled)} images differ in size, their masks were stretched: "
            f"{_some(matching.rescaled)}"
        )
    return [*lines, *_about_categories(matching), *matching.notes]


def _about_categories(matching: Matching) -> list[str]:
    lines = []
    if matching.truth_only:
        lines.append(
            f"{len(matching.truth_only)} categories of the ground truth are unknown to the run and "
            f"do not count (--categories all counts them): {_some(_near(matching.truth_only))}"
        )
    if matching.run_only:
        lines.append(
            f"{len(matching.run_only)} categories of the run are not in the ground truth and were "
            f"left out: {_some(_near(matching.run_only))}"
        )
    return lines


def _near(pairs: Sequence[tuple[str, str | None]]) -> list[str]:
    return [f"{name} (like {near}?)" if near else name for name, near in pairs]


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
