"""The summary of a run as a file, for programs that watch over scheduled runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from segcli.cli.ending import Ending, noting_the_end, own_error_first
from segcli.files import replacing, reporting
from segcli.pipeline.events import Report


@contextmanager
def summary_file(path: Path | None, run_id: str, report: Report) -> Iterator[Report]:
    """`report`, which also notes the summary; `path` gets it at the end, also after an error.

    The file is one JSON object: what `Summary` has, the run's id, when it began and ended (UTC),
    and `error`, None if there was none. A run that ends before its summary has zeros. Raises
    OutputError if the file cannot be written and the run has not ended with an error.
    """
    if path is None:
        yield report
        return
    began = _now()

    def write(ending: Ending) -> None:
        ended = {"run": run_id, "began": began, "ended": _now(), "error": ending.reason}
        with own_error_first(ending.error, report), reporting(path), replacing(path) as unfinished:
            content = json.dumps({**ended, **asdict(ending.summary)}, indent=2)
            unfinished.write_text(content + "\n", encoding="utf-8")

    with noting_the_end(report, write) as noted:
        yield noted


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
