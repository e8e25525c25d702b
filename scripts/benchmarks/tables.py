"""Write figures of scripts/bench as Markdown tables between the markers of a page."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any

BEGIN, END = "<!-- figures: {} -->", "<!-- end of figures -->"


def renew(page: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """The page with the tables of `results`, by benchmark, between their marks; others stay."""
    for name, figures in results.items():
        begin = BEGIN.format(name)
        marked = re.compile(f"{re.escape(begin)}.*?{re.escape(END)}", re.DOTALL)
        text = f"{begin}\n\n{table_of(name, figures)}\n\n{END}"
        page = marked.sub(lambda _, text=text: text, page)
    return page


def table_of(name: str, figures: Mapping[str, Any]) -> str:
    """The benchmark's own `table`, else a line for each figure."""
    if name != "machine":
        own = getattr(
            importlib.import_module(f"scripts.benchmarks.{name.replace('-', '_')}"), "table", None
        )
        if own is not None:
            return str(own(figures))
    return markdown(("", ""), [(key, value) for key, value in figures.items()])


def markdown(head: tuple[Any, ...], rows: list[tuple[Any, ...]]) -> str:
    """Cells as they are read: three significant digits, thin air for what is missing."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(shown, line)) + " |" for line in lines)


def shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)
