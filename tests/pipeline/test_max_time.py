"""A run with a limit of time ends with what it has done, and the next one continues."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_data import keys

from segcli.cli.progress import summary_text
from segcli.cli.summary_file import summary_file
from segcli.errors import NothingDone
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline import run as running
from segcli.pipeline.events import Event, Progress, Summary
from segcli.pipeline.signals import Stop, stop_after


def options(folder: Path, out: Path, max_time: float | None) -> PredictOptions:
    return PredictOptions(
        source=str(folder), out=out, model="toy", device="cpu", precision="float32", workers=1,
        replicas=0, batch_size=2, max_time=max_time,
    )  # fmt: skip


def test_a_run_ends_between_two_batches(
    pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = pictures(12), tmp_path / "m.parquet"
    over = threading.Event()
    ending = Stop.end_of_time

    def end_of_time(stop: Stop) -> None:
        ending(stop)
        over.set()

    def wait_for_the_end(event: Event) -> None:
        if isinstance(event, Progress):
            assert over.wait(30)

    with monkeypatch.context() as patch:
        patch.setattr(Stop, "end_of_time", end_of_time)
        patch.setattr(running, "_time_left", lambda options, began: 0.5)
        summary = predict(options(folder, out, 60), report=wait_for_the_end)
    assert summary.is_out_of_time
    assert 0 < summary.images < 12
    assert len(keys(out)) == summary.images
    assert "run the same command again for what is left" in summary_text(summary)
    rest = predict(options(folder, out, None), report=lambda event: None)
    assert (rest.images, rest.is_out_of_time) == (12 - summary.images, False)
    assert len(keys(out)) == 12


def test_listing_and_loading_count(pictures: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    summary = predict(options(pictures(3), out, 1e-6), report=lambda event: None)
    assert (summary.images, summary.is_out_of_time) == (0, True)
    assert (
        summary_text(summary)
        == f"out of time before the first image of {out}: 0 images done before"
    )


def test_a_signal_that_came_first_counts() -> None:
    stop = Stop(signum=2)
    with stop_after(stop, 0):
        pass
    assert (stop.signum, stop.is_out_of_time) == (2, False)


def test_the_summary_file_has_what_programs_need(tmp_path: Path) -> None:
    path, shown = tmp_path / "deep/summary.json", list[Event]()
    with summary_file(path, "abc", shown.append) as report:
        report(Summary("m.parquet", images=3, masks=7))
    found = json.loads(path.read_text())
    assert (found["run"], found["images"], found["masks"], found["error"]) == ("abc", 3, 7, None)
    assert found["began"] <= found["ended"]
    assert shown == [Summary("m.parquet", images=3, masks=7)]
    with pytest.raises(NothingDone), summary_file(path, "abd", shown.append):
        raise NothingDone("not one of 2 images could be processed")
    found = json.loads(path.read_text())
    assert (found["run"], found["error"]) == ("abd", "not one of 2 images could be processed")
    with pytest.raises(RuntimeError), summary_file(path, "abe", shown.append):
        raise RuntimeError
    assert json.loads(path.read_text())["error"] == "RuntimeError"
