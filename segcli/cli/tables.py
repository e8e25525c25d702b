"""Tables that fit the terminal: whole columns are left out, and names are never cut."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_UNBOUNDED = 10_000
PIPED = 120  # width if there is no terminal: a file or a pipe


class TablePrinter:
    """Prints tables to stdout; `wide`: all columns, even if they do not fit."""

    def __init__(self, *, wide: bool) -> None:
        self.console = Console(file=sys.stdout, highlight=False, markup=False)
        self._width = self.console.width if self.console.is_terminal else PIPED
        self._wide = wide
        self.left_out = False

    def line(self, text: str | Text, style: str = "") -> None:
        self.console.print(text, style=style, soft_wrap=True)

    def table(
        self,
        titles: Sequence[str],
        rows: Sequence[Sequence[str | Text]],
        *,
        optional: Sequence[str] = (),
        words: Sequence[str] = (),
    ) -> None:
        """Columns in `optional` are left out, in that order, until the others fit.

        The first column, if it has a title, and those in `words` are text; the others are numbers.
        """
        shown = list(range(len(titles)))
        for title in ("", *optional):
            shown = [column for column in shown if not title or titles[column] != title]
            made = _table(
                [titles[column] for column in shown],
                [[row[column] for column in shown] for row in rows],
                words,
            )
            unbounded = self.console.options.update(max_width=_UNBOUNDED)
            needed = Measurement.get(self.console, unbounded, made).maximum
            if self._wide or needed <= self._width:
                break
        self.left_out |= len(shown) < len(titles)
        # A name that is wider than the terminal is wrapped by it instead of being cut here.
        self.console.width = max(self._width, needed)
        self.console.print(made)
        self.console.width = self._width

    def end(self) -> None:
        """Print a note if columns were left out."""
        if self.left_out:
            self.line("more columns: --wide", style="dim")


def _table(
    titles: Sequence[str], rows: Sequence[Sequence[str | Text]], words: Sequence[str]
) -> Table:
    table = Table(box=box.SIMPLE_HEAD if any(titles) else box.SIMPLE, pad_edge=False)
    table.show_header = any(titles)
    for number, title in enumerate(titles):
        text = (number == 0 and title) or title in words
        table.add_column(
            title, justify="left" if text else "right", no_wrap=True, vertical="bottom"
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table
