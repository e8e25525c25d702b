"""A run that is killed loses nothing, doubles nothing, and leaves nothing unreadable.

At 20 random moments in all; scripts/soak goes on with it for as long as you like.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import toy_faults
import toy_gate
import toy_worker
from toy_data import keys, rows
from toy_processes import finish, start, wait_for

MOMENTS = 8  # of a run in one process
WORKERS = 2
CHUNK = 4
POOL_MOMENTS = 12  # of a run with workers: of one of them, of their coordinator, of both
OPTIONS = ["--model", "troubled/slow", "--chunk-size", "4", "--batch-size", "2", "--workers", "1"]


def run(images: Path, out: Path, log: Path) -> list[str | Path]:
    return ["predict", images, "--out", out, *OPTIONS, "--log-format", "json"]


@pytest.fixture
def timed_reference(pictures: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path, float]:
    """The images, an uninterrupted output, and the seconds that its images took."""
    images, out, log = pictures(16), tmp_path / "reference.parquet", tmp_path / "reference.log"
    process = start(*run(images, out, log), log=log)
    wait_for(log, "started")
    begin = time.monotonic()
    assert finish(process) == 0
    return images, out, time.monotonic() - begin


@pytest.mark.slow
def test_rerun_after_kill_equals_an_uninterrupted_run(
    timed_reference: tuple[Path, Path, float], tmp_path: Path
) -> None:
    images, reference, seconds = timed_reference
    expected = rows(reference)
    random_moments = random.Random(0)
    # One in every eighth of the run, so that the moments reach over all of it.
    moments = [(i + random_moments.random()) / MOMENTS * seconds for i in range(MOMENTS)]

    def kill_and_rerun(number: int) -> bool:
        out, log = tmp_path / f"{number}.parquet", tmp_path / f"{number}.log"
        # Nobody comes to the end before he is killed, however late that is.
        gate = partial(toy_gate.shut, str(tmp_path / "never"), "0014.png")
        process = start(*run(images, out, log), log=log, before=gate)
        wait_for(log, "started")
        time.sleep(moments[number])
        process.kill()
        assert finish(process) == -9
        for part in out.glob("*"):
            pq.read_table(part)
        if out.exists():
            assert len(set(keys(out))) == len(keys(out))
        assert finish(start(*run(images, out, log), log=log)) == 0
        assert rows(out) == expected
        assert not (tmp_path / f".{number}.parquet.staging").exists()
        return True

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(kill_and_rerun, range(MOMENTS)))


@pytest.mark.slow
def test_rerun_after_workers_and_coordinators_were_killed_repeats_a_chunk_of_each_at_most(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images = pictures(40)
    options = ["--chunk-size", str(CHUNK), "--replicas", str(WORKERS), "--log-format", "json"]
    chance = random.Random(1)
    plans = [
        (("a worker", "the coordinator", "both")[number % 3], chance.random() * 0.25)
        for number in range(POOL_MOMENTS)
    ]

    def begin(number: int, before: Callable[[], None], *more: str):
        command = ["predict", images, "--out", tmp_path / f"{number}.parquet", "--model", "toy"]
        return start(
            *command,
            *options,
            *more,
            log=tmp_path / f"{number}.log",
            load=toy_worker.load_fake,
            before=before,
        )

    def kill_and_rerun(number: int) -> bool:
        whom, moment = plans[number]
        out = tmp_path / f"{number}.parquet"
        gate, counted = tmp_path / f"{number}.gate", f"{tmp_path}/{number}"
        # Whoever has the last chunk waits, so that nobody comes to the end before he is killed.
        process = begin(number, partial(toy_faults.count_and_shut, counted, str(gate), "0039.png"))
        wait_for(tmp_path / f"{number}.log", "started")
        time.sleep(moment)
        lost = toy_faults.kill(process.pid or 0, whom, chance)
        gate.touch()
        assert lost > 0
        assert finish(process) == (0 if whom == "a worker" else -9)
        for part in out.glob("*"):
            pq.read_table(part)
        # Its workers die with a coordinator; until they have, the lock is theirs.
        assert finish(begin(number, partial(toy_faults.count_in, counted), "--wait")) == 0
        assert keys(out) == [f"{i:04d}.png" for i in range(40)]
        done = Counter((tmp_path / str(number)).read_text().split())
        assert done.total() - len(done) <= CHUNK * lost
        assert not (tmp_path / f".{number}.parquet.staging").exists()
        return True

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(kill_and_rerun, range(POOL_MOMENTS)))
