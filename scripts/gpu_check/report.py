"""The results as JSON and as Markdown, on disk after each figure."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from scripts.benchmarks.tables import shown


class Report:
    """Collects the figures of the checks; `begin` and `end` enclose those of one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._checks: dict[str, dict[str, Any]] = {}
        self._current: dict[str, Any] = {}
        self._begun = 0.0

    @property
    def failed(self) -> int:
        return sum("error" in check for check in self._checks.values())

    def begin(self, name: str) -> None:
        self._current = self._checks[name] = {"figures": {}}
        self._begun = time.monotonic()
        print(f"== {name}", flush=True)

    def add(self, figure: str, value: Any) -> None:
        self._current["figures"][figure] = value
        print(f"  {figure}: {shown(value)}", flush=True)
        self._write()

    def end(self, error: str | None) -> None:
        self._current["seconds"] = round(time.monotonic() - self._begun, 1)
        if error is not None:
            self._current["error"] = error
            print(f"  FAILED: {error}", flush=True)
        self._write()

    def _write(self) -> None:
        _replace(self._folder / "results.json", json.dumps(self._checks, indent=1) + "\n")
        _replace(
            self._folder / "results.md", "\n".join(_section(*item) for item in self._checks.items())
        )


def _replace(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def _section(name: str, check: dict[str, Any]) -> str:
    """A heading, a table of the figures, longer texts below it, and the error."""
    lines, below = (
        [f"## {name} ({check.get('seconds', '?')} s)", "", "|  |  |", "| --- | --- |"],
        [],
    )
    for figure, value in check["figures"].items():
        if isinstance(value, str) and "\n" in value:
            below += ["", f"{figure}:", "", "```", value.rstrip(), "```"]
        else:
            lines.append(f"| {figure} | {shown(value)} |")
    if "error" in check:
        below += ["", "**Failed:**", "", "```", check["error"].rstrip(), "```"]
    return "\n".join([*lines, *below, ""])
