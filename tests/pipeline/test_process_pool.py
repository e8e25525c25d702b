"""Runs of several processes, of which some are killed, stopped or asked to end."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import toy_gate
import toy_worker
from toy_data import keys, rows
from toy_processes import finish, start, wait_for

from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Event, Note

FAKE = toy_worker.load_fake
IMAGES = 60
MANY = 400


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The fake reads none of them."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(IMAGES):
        (folder / f"{number:04d}.png").write_bytes(b"any")
    return folder


def begin(
    images: Path, out: Path, log: Path, *more: str, before: Callable[[], None] | None = None
) -> BaseProcess:
    options = ["--model", "toy", "--device", "cpu", "--precision", "float32", "--chunk-size", "5"]
    if "--replicas" not in more:
        options += ["--replicas", "2"]
    return start(
        *("predict", images, "--out", out, *options, "--log-format", "json", *more),
        log=log,
        load=FAKE,
        before=before,
    )


def children(pid: int | None) -> list[int]:
    """The processes that `pid` has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state not in "ZX":
            found.append(int(path.parent.name))
    return found


def wait_until_gone(pids: list[int], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, f"still there: {pids}"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
def test_workers_die_with_their_coordinator_even_when_stopped(files: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "m.parquet", tmp_path / "log"
    never = partial(toy_gate.shut, str(tmp_path / "never"), "0030.png")
    process = begin(files, out, log, before=never)
    wait_for(log, "committed")
    workers = children(process.pid)
    assert 1 <= len(workers) <= 2
    os.kill(workers[0], signal.SIGSTOP)
    process.kill()
    assert finish(process) == -9
    # The next run starts at once: nobody is left who could commit beside it.
    assert finish(begin(files, out, log, "--replicas", "1")) == 0
    wait_until_gone(workers)
    assert keys(out) == [f"{i:04d}.png" for i in range(IMAGES)]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_to_all_commits_what_is_done(
    files: Path, tmp_path: Path, number: int, code: int
) -> None:
    out, log = tmp_path / "m.parquet", tmp_path / "log"
    for index in range(IMAGES, MANY):  # more than are done before the signal on any machine
        (files / f"{index:04d}.png").write_bytes(b"any")
    # Headway is told after half a second; a worker at the gate hears that it shall end.
    gate = partial(toy_gate.shut, str(tmp_path / "never"), f"{MANY - 1:04d}.png")
    process = begin(files, out, log, "--chunk-size", "1000", before=gate)
    wait_for(log, "progress")
    for pid in [*children(process.pid), process.pid]:  # as a terminal and schedulers do
        assert pid is not None
        os.kill(pid, number)
    assert finish(process) == code
    assert "run the same command again to continue" in log.read_text()
    assert 1 <= len(keys(out)) < MANY
    assert finish(begin(files, out, log, "--replicas", "1")) == 0
    assert keys(out) == [f"{i:04d}.png" for i in range(MANY)]


@pytest.mark.slow
def test_two_replicas_of_a_model_give_the_rows_of_one(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder = pictures(12, ((48, 64), (64, 48)))
    (folder / "bad.png").write_bytes(b"no picture")
    told: dict[int, list[Event]] = {0: [], 2: []}
    for replicas, heard in told.items():
        options = PredictOptions(
            source=str(folder),
            out=tmp_path / f"{replicas}.parquet",
            model="troubled/greedy",
            device="cpu",
            precision="float32",
            chunk_size=5,
            batch_size=2,
            replicas=replicas,
            max_memory=64 << 30,
        )
        summary = predict(options, report=heard.append)
        assert (summary.images, summary.failed) == (13, 1)
    assert rows(tmp_path / "2.parquet") == rows(tmp_path / "0.parquet")
    # The batch that did not fit is halved in the worker as well, and the user hears of it.
    halved = Note("out of memory: batches of 96x64 px now hold 1")
    assert halved in told[0]
    assert halved in told[2]


@pytest.mark.slow
def test_crash_of_a_model_costs_one_image(pictures: Callable[..., Path], tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    folder, out = pictures(1), tmp_path / "m.parquet"
    Image.fromarray(np.full((64, 96, 3), 255, np.uint8)).save(folder / "0001white.png")
    options = PredictOptions(
        source=str(folder),
        out=out,
        model="troubled/crashing",
        device="cpu",
        precision="float32",
        replicas=1,
    )
    assert predict(options, report=[].append).failed == 1
    assert [row[0] for row in rows(out) if row[1] == "failed"] == ["0001white.png"]
    assert len(keys(out)) == 2


def test_full_disk_in_a_worker_is_told_and_the_rerun_continues(files: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "m.parquet", tmp_path / "log"
    words = ["predict", files, "--out", out, "--model", "toy", "--device", "cpu", "--replicas", "1"]
    words += ["--precision", "float32"]
    assert finish(start(*words, log=log, load=FAKE, file_limit=3000)) == 7
    assert "cannot write" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert not out.exists()
    assert finish(start(*words, log=log, load=FAKE)) == 0
    assert len(keys(out)) == IMAGES
