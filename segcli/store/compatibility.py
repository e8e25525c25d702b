"""Checks whether the rows of a run may be added to an output; errors state what to do."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from segcli.cloud.urls import shown
from segcli.errors import UsageError
from segcli.keys import prefixed
from segcli.partitions import BY, PATTERN
from segcli.store.filtering import filtered_command
from segcli.store.footer import ROOT, Footer, differences, new_command
from segcli.store.schema import column_differences


class OtherSettings(UsageError):
    """The output was made with other settings than this run has."""


@dataclass(frozen=True, slots=True)
class Joining:
    """Checks for a run with `footer` and `columns` that is to be added to the output at `path`.

    `same_source`: a different source root is another name of the same archive.
    """

    path: Path
    columns: pa.Schema
    footer: Footer
    same_source: bool = False

    def check_part(self, name: str, columns: pa.Schema, there: Footer) -> None:
        """Raises OtherSettings if part `name` was made with other settings."""
        found = differences(there, self.footer)
        found += column_differences(columns, self.columns)
        if found:
            raise OtherSettings(
                f"{shown(self.path)} was made with other settings, so new rows cannot join it "
                f"({name}): {'; '.join(found)}. {self._advice(there)}"
            )

    def _advice(self, there: Footer) -> str:
        if (kept := self._partitions_advice(there)) is not None:
            return kept
        filtered = filtered_command(self.path, there, self.footer)
        advice = f"Use the old settings, or choose a new output: {self.new_command()}"
        if filtered is None:
            return advice
        return f"The output already has these masks: {filtered} (or export) reads them. {advice}"

    def _partitions_advice(self, there: Footer) -> str | None:
        """What to do if only the partitions differ; None if they do not, or not only they."""
        old, new = there.settings.compared, self.footer.settings.compared
        differing = {n for n in {*old, *new} - {ROOT} if old.get(n) != new.get(n)}
        if not differing or not differing <= {BY, PATTERN}:
            return None
        by, pattern = old.get(BY), old.get(PATTERN)
        given = f"give `{BY}={by!r}`" if by else f"leave out `{BY}`"
        if by:
            given += f" and `{PATTERN}={pattern!r}`" if pattern else f" without `{PATTERN}`"
        return (
            f"Parts are not moved from one partition to another: {given}, as before, or choose a "
            f"new output: {self.new_command()}"
        )

    def check_roots(self, now: str, roots: Set[str], may_be_same: Callable[[], bool]) -> None:
        """`now`: a source root of the run; `roots`: of the parts with the same key prefix. Several
        were declared to be the same.

        `may_be_same`: whether the source has the keys of the output, so that it can be the same
        archive in another place.

        Raises OtherSettings when ours is another.
        """
        if not roots or now in roots or self.same_source:
            return
        same = ""
        around = next((root for root in sorted(roots) if _lies_in(now, root)), None)
        if around is not None:
            part = now.removeprefix(around.rstrip("/") + "/")
            same = f"It lies in {around}: that source with `include={part + '/*'!r}` is this part. "
        elif not any(_lies_in(root, now) for root in roots) and may_be_same():
            same = "If it is the same archive in a new place, use `same_source=True`. "
        raise OtherSettings(
            f"{shown(self.path)} was made from {' and '.join(sorted(roots))}, now given {now}. "
            f"{same}"
            f"To add another archive, use `key_prefix='NAME/'`, which keeps the keys apart. "
            f"Otherwise choose a new output: {self.new_command()}"
        )

    def check_neighbour(self, name: str, columns: pa.Schema, there: Footer) -> None:
        """Both checks, for a part that another shard has written since this one started."""
        self.check_part(name, columns, there)
        now = self.footer.settings.roots.get(prefixed("", there.settings.key_prefix))
        if now is not None:
            self.check_roots(now, {*there.roots}, lambda: True)

    def new_command(self) -> str:
        return new_command(self.path, self.footer.settings)


def _lies_in(place: str, root: str) -> bool:
    return place.startswith(root.rstrip("/") + "/")
