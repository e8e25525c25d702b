"""Ctrl-C and SIGTERM keep what is done; a second one does not wait."""

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import toy_gate
from toy_data import keys
from toy_processes import finish, start, wait_for

from segcli.pipeline.signals import stop_on_signals

OPTIONS = ["--model", "troubled/slow", "--batch-size", "2", "--log-format", "json"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_commits_what_is_done_and_says_how_to_go_on(
    pictures: Callable[..., Path], tmp_path: Path, number: int, code: int
) -> None:
    folder, out, log = pictures(60), tmp_path / "m.parquet", tmp_path / "log"
    gate = tmp_path / "gate"
    before = partial(toy_gate.shut, str(gate), "0008.png")
    process = start("predict", folder, "--out", out, *OPTIONS, log=log, before=before)
    wait_for(log, "progress")
    assert process.pid is not None
    os.kill(process.pid, number)
    gate.touch()
    assert finish(process) == code
    assert "run the same command again to continue" in log.read_text()
    done = keys(out)
    assert 2 <= len(done) < 60
    assert finish(start("predict", folder, "--out", out, *OPTIONS, log=log)) == 0
    assert len(keys(out)) == 60


def test_second_signal_ends_at_once(
    pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert (stop.requested, stop.signum, ended) == (True, signal.SIGTERM, [])
            os.kill(os.getpid(), signal.SIGINT)
            assert ended == [130]
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_are_put_back_and_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop.requested
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_go_without() -> None:
    found = []

    def inside() -> None:
        with stop_on_signals() as stop:
            found.append(stop.requested)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [False]


def test_a_signal_after_the_end_of_time_still_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    with stop_on_signals() as stop:
        stop.end_of_time()
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.signum, stop.is_out_of_time, ended) == (signal.SIGTERM, False, [])
        os.kill(os.getpid(), signal.SIGTERM)
        assert ended == [143]
