"""The metrics of a run as a text file for Prometheus, which node_exporter's collector reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from segcli.cli.ending import Ending, noting_the_end, own_error_first
from segcli.errors import ExitCode
from segcli.files import reporting, write_bytes
from segcli.pipeline.events import Report

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_LAST_SUCCESS = "segcli_last_success_timestamp_seconds"
_GAUGES = {
    "segcli_run_end_timestamp_seconds": "When the last run ended.",
    "segcli_run_exit_code": "The exit code of the last run.",
    "segcli_run_seconds": "How long the last run took, with listing and loading.",
    "segcli_run_out_of_time": "1 if a limit of time ended the last run.",
    "segcli_run_images": "Images that the last run processed, with failed and static ones.",
    "segcli_run_failed_images": "Images of the last run that failed.",
    "segcli_run_static_images": "Images of the last run that repeat another one.",
    "segcli_run_skipped_images": "Images that the last run skipped because they were done.",
    "segcli_run_lag_mean_seconds": "Mean age of the images of the last run at their commit.",
    "segcli_run_lag_max_seconds": "Greatest age of an image of the last run at its commit.",
    _LAST_SUCCESS: "When a run last ended with exit code 0 or 1.",
}


@contextmanager
def metrics_file(path: Path | None, out: str, report: Report) -> Iterator[Report]:
    """`report`, which also notes the summary; `path` gets the metrics at the end of the run.

    The file is replaced in one step, also after an error; the time of the last success is taken
    over from it then. Each metric has the label `output`. Raises OutputError if the file cannot be
    written and the run has not ended with an error.
    """
    if path is None:
        yield report
        return
    began = time.monotonic()

    def write(ending: Ending) -> None:
        from prometheus_client import generate_latest

        label = out.encode("utf-8", "replace").decode()  # a path may hold any bytes
        with own_error_first(ending.error, report):
            with reporting(path):
                registry = _registry(path, label, ending, time.monotonic() - began)
            write_bytes(path, generate_latest(registry))

    with noting_the_end(report, write) as noted:
        yield noted


def _registry(path: Path, out: str, ending: Ending, seconds: float) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry, Gauge

    summary, code = ending.summary, ending.exit_code
    is_success = code in (ExitCode.OK, ExitCode.SOME_FAILED)
    values = {
        "segcli_run_end_timestamp_seconds": time.time(),
        "segcli_run_exit_code": code,
        "segcli_run_seconds": seconds,
        "segcli_run_out_of_time": summary.is_out_of_time,
        "segcli_run_images": summary.images,
        "segcli_run_failed_images": summary.failed,
        "segcli_run_static_images": summary.static,
        "segcli_run_skipped_images": summary.earlier,
        "segcli_run_lag_mean_seconds": summary.lag_mean_s,
        "segcli_run_lag_max_seconds": summary.lag_max_s,
        _LAST_SUCCESS: time.time() if is_success else _last_success(path, out),
    }
    registry = CollectorRegistry()
    for name, text in _GAUGES.items():
        gauge = Gauge(name, text, ["output"], registry=registry)
        if (value := values[name]) is not None:
            gauge.labels(out).set(value)
    masks = Gauge(
        "segcli_run_masks",
        "Masks of the last run, from the default score of their category on.",
        ["output", "category"],
        registry=registry,
    )
    for category, count in summary.categories.items():
        masks.labels(out, category).set(count)
    return registry


def _last_success(path: Path, out: str) -> float | None:
    """As the file of the previous run states it."""
    from prometheus_client.parser import text_string_to_metric_families

    # A file that is missing, or that something else wrote, states none.
    with suppress(FileNotFoundError, ValueError):
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
            for sample in family.samples:
                if sample.name == _LAST_SUCCESS and sample.labels.get("output") == out:
                    return float(sample.value)
    return None
