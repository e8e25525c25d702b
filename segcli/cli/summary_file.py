"""The summary of a run as a file, for programs that watch over scheduled runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from segcli.cli.ending import own_error_first, reason
from segcli.files import replacing, reporting
from segcli.pipeline.events import Event, Report, Summary


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
    summaries, began = [Summary(out="")], _now()

    def note(event: Event) -> None:
        if isinstance(event, Summary):
            summaries.append(event)
        report(event)

    error: BaseException | None = None
    try:
        yield note
    except BaseException as raised:  # whatever ends the run, the file must not say that all is well
        error = raised
        raise
    finally:
        ended = {"run": run_id, "began": began, "ended": _now()}
        told = {"error": reason(error)}
        with own_error_first(error, report), reporting(path), replacing(path) as unfinished:
            content = json.dumps({**ended, **told, **asdict(summaries[-1])}, indent=2)
            unfinished.write_text(content + "\n", encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
