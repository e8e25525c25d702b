"""Suggests to filter an existing output if it already has the masks that a run would find."""

from __future__ import annotations

import shlex
from pathlib import Path

from segcli.store.footer import ROOT, Footer

_FILTERS = {"min_score", "categories"}


def filtered_command(path: Path, there: Footer, now: Footer) -> str | None:
    """A command that shows the masks that a run with the settings `now` would find.

    None unless `now` differs from the output's settings `there` only by a higher `min_score` or
    fewer `categories`: then the masks are in the output, and readers can filter them.
    """
    old, new = there.settings.compared, now.settings.compared
    differing = {name for name in {*old, *new} - {ROOT} if old.get(name) != new.get(name)}
    if not differing or differing - _FILTERS:
        return None
    words = ["segcli", "viz", str(path), "--out", f"{path.stem}-pictures"]
    if "min_score" in differing:
        if not (old.get("min_score") or 0) < (new.get("min_score") or 0):
            return None
        words += ["--min-score", f"{new['min_score']:g}"]
    if "categories" in differing:
        wanted, known = new.get("categories"), old.get("categories") or there.category_names
        if wanted is None or not {*wanted} <= {*known}:
            return None
        words += ["--categories", ",".join(wanted)]
    return shlex.join(words)
