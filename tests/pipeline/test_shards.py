"""One output from several runs at once, as a job array or an impatient cron starts them."""

import os
import signal
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import toy_gate
import toy_worker
from PIL import Image
from toy_data import keys, picture, rows
from toy_processes import events, finish, start, wait_for

from segcli.pipeline.job import Load
from segcli.store.part_file import read_footer

SHARDS = ("0/3", "1/3", "2/3")
OPTIONS = [
    "--chunk-size",
    "4",
    "--batch-size",
    "2",
    "--workers",
    "1",
    "--log-format",
    "json",
]


def started(
    images: Path, out: Path, *more: str, model: str = "toy", gate: Path | None = None
) -> BaseProcess:
    """A run of shard `more[1]`, or of all, that logs beside its output.

    `gate`: it does a batch or more of its images, and the others when that file is there.
    """
    before = None if gate is None else partial(toy_gate.shut, str(gate), "0008.png")
    words = ["predict", images, "--out", out, "--model", model, *OPTIONS, *more]
    return start(*words, log=log_of(out, *more), before=before)


def log_of(out: Path, *more: str) -> Path:
    return out.with_name(f"{out.name}.{'-'.join(more).replace('/', 'of')}.log")


def all_shards(images: Path, out: Path, *more: str) -> list[int | None]:
    processes = [started(images, out, "--shard", shard, *more) for shard in SHARDS]
    return [finish(process) for process in processes]


@pytest.mark.slow
def test_three_shards_at_once_give_the_rows_of_one_run(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images, whole, shared = pictures(40), tmp_path / "whole.parquet", tmp_path / "shared.parquet"
    (images / "bad.png").write_bytes(b"no picture")
    assert finish(started(images, whole)) == 1
    # Started at one moment, so that they meet where the directory does not exist yet.
    assert sorted(all_shards(images, shared)) == [0, 0, 1]
    assert rows(shared) == rows(whole)
    assert all_shards(images, shared) == [0, 0, 0]
    told = [events(log_of(shared, "--shard", shard))[-1] for shard in SHARDS]
    assert [line["images"] for line in told] == [0, 0, 0]
    assert sum(line["earlier"] for line in told) == 41, "each listed its own share alone"


def test_shards_redo_what_changed_failed_and_is_new_in_parts_of_an_undivided_run(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images, shared, whole = pictures(20), tmp_path / "shared.parquet", tmp_path / "whole.parquet"
    for number in range(20, 26):
        (images / f"{number:04d}.png").write_bytes(b"no picture")
    assert finish(started(images, shared)) == 1
    parts = {*os.listdir(shared)}
    for number in range(26):  # some change, the failed are mended; all in parts of three shards
        if number % 2 or number >= 20:
            Image.fromarray(picture(number + 100)).save(images / f"{number:04d}.png")
    pictures(30)
    assert all_shards(images, shared, "--retry-failed") == [0, 0, 0]
    assert {*os.listdir(shared)} >= parts
    assert finish(started(images, whole)) == 0
    assert rows(shared) == rows(whole)


def test_killed_shard_leaves_its_work_to_its_next_run_and_the_others_alone(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images, out = pictures(24), tmp_path / "m.parquet"
    never = tmp_path / "never"
    killed = started(images, out, "--shard", "0/2", model="troubled/slow", gate=never)
    wait_for(log_of(out, "--shard", "0/2"), "progress")
    killed.kill()
    assert finish(killed) == -9
    left = tmp_path / ".m.parquet.shards/0-of-2.staging/part-x"
    left.mkdir(parents=True, exist_ok=True)  # as if it had been killed while it wrote
    assert finish(started(images, out, "--shard", "1/2", model="troubled/slow")) == 0
    assert left.exists(), "staging is its shard's business"
    assert finish(started(images, out, "--shard", "0/2", model="troubled/slow")) == 0
    assert not left.exists()
    assert len(keys(out)) == 24
    assert finish(started(images, out, model="troubled/slow")) == 0
    assert [p for p in os.listdir(tmp_path) if p.endswith((".shards", ".staging"))] == []


def test_a_shard_twice_and_an_undivided_run_beside_shards_are_told(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images, out = pictures(24), tmp_path / "m.parquet"
    gate = tmp_path / "gate"  # it holds its locks for as long as this takes
    first = started(images, out, "--shard", "0/2", model="troubled/slow", gate=gate)
    wait_for(log_of(out, "--shard", "0/2"), "started")
    refused = {
        "same": ("--shard", "0/2", "--quiet"),
        "other": ("--shard", "0/3"),
        "all": ("--quiet",),
    }
    runs = {name: started(images, out, *m, model="troubled/slow") for name, m in refused.items()}
    assert {name: finish(run) for name, run in runs.items()} == {"same": 4, "other": 4, "all": 4}
    assert "is using shard 0/2" in log_of(out, *refused["same"]).read_text()
    assert "a run in 2 shards" in log_of(out, *refused["other"]).read_text()
    assert "one of its shards" in log_of(out, *refused["all"]).read_text()
    gate.touch()
    assert finish(first) == 0


@pytest.mark.parametrize("more", [(), ("--shard", "0/1")])
def test_cron_runs_that_overlap_and_one_that_dies_with_the_lock(
    pictures: Callable[..., Path], tmp_path: Path, more: tuple[str, ...]
) -> None:
    images, out = pictures(12), tmp_path / "m.parquet"
    first = started(images, out, *more, model="troubled/slow", gate=tmp_path / "never")
    wait_for(log_of(out, *more), "progress")
    os.kill(first.pid or 0, signal.SIGSTOP)
    assert finish(started(images, out, *more, "--quiet", model="troubled/slow")) == 4
    waiting = started(images, out, *more, "--wait", model="troubled/slow")
    first.kill()
    assert finish(first) == -9
    assert finish(waiting) == 0
    assert finish(started(images, out, *more, model="troubled/slow")) == 0
    assert len(keys(out)) == 12


@pytest.mark.parametrize(("given", "code"), [("auto", 0), ("float32", 2)])
@pytest.mark.slow
def test_shards_that_began_together_in_other_precisions_agree_or_are_told(
    pictures: Callable[..., Path], tmp_path: Path, given: str, code: int
) -> None:
    images, out = pictures(12), tmp_path / "m.parquet"
    logs = [tmp_path / "first.log", tmp_path / "late.log"]

    def shard(number: int, precision: str, load: Load, gate: str) -> BaseProcess:
        words = ["predict", images, "--out", out, "--model", "toy", "--precision", precision]
        words += ["--shard", f"{number}/2", "--replicas", "2", "--device", "cpu", *OPTIONS]
        before = partial(toy_gate.shut, str(tmp_path / gate), "0000.png")
        return start(*words, log=logs[number], load=load, before=before)

    late = shard(1, given, toy_worker.load_float32, "late")
    wait_for(logs[1], "started")
    (tmp_path / "first").touch()
    assert finish(shard(0, "auto", toy_worker.load_bfloat16, "first")) == 0
    (tmp_path / "late").touch()
    assert finish(late) == code
    found = {read_footer(part).settings.compared["precision"] for part in out.iterdir()}
    assert found == {"bfloat16"}
    told = logs[1].read_text()
    if code:
        assert "--precision: bfloat16 there, float32 now" in told
    else:
        assert "using its precision" in told
        assert len(keys(out)) == 12


@pytest.mark.slow
def test_run_that_waited_takes_the_precision_that_it_finds(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images, out = pictures(12), tmp_path / "m.parquet"
    gate = tmp_path / "gate"

    def begin(name: str, load: Load, before: Callable[[], None] | None) -> BaseProcess:
        words = ["predict", images, "--out", out, "--model", "toy", "--replicas", "1", "--wait"]
        words += ["--device", "cpu", *OPTIONS]
        return start(*words, log=tmp_path / f"{name}.log", load=load, before=before)

    shut = partial(toy_gate.shut, str(gate), "0000.png")
    first = begin("first", toy_worker.load_bfloat16, shut)
    wait_for(tmp_path / "first.log", "started")
    second = begin("second", toy_worker.load_float32, None)
    wait_for(tmp_path / "second.log", "note")
    assert "waiting: another process is using" in (tmp_path / "second.log").read_text()
    gate.touch()
    assert [finish(first), finish(second)] == [0, 0]
    assert {read_footer(p).settings.compared["precision"] for p in out.iterdir()} == {"bfloat16"}
    assert len(keys(out)) == 12


def test_two_shards_and_an_undivided_run_at_one_moment_take_turns(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images, out = pictures(12), tmp_path / "m.parquet"
    ways: list[tuple[str, ...]] = [("--shard", "0/2"), ("--shard", "1/2"), ()]
    processes = [started(images, out, "--wait", *way) for way in ways]
    assert [finish(process) for process in processes] == [0, 0, 0]
    told = [events(log_of(out, "--wait", *way))[-1] for way in ways]
    assert sum(line["images"] for line in told) == 12
    assert keys(out) == [f"{number:04d}.png" for number in range(12)]


@pytest.mark.slow
def test_more_shards_than_images_leave_some_without_work(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images, out = pictures(1), tmp_path / "m.parquet"
    assert [finish(started(images, out, "--shard", s)) for s in ("0/2", "1/2")] == [0, 0]
    assert keys(out) == ["0000.png"]
