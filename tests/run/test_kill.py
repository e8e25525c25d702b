"""A run that is killed loses nothing, doubles nothing, and leaves nothing unreadable."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from toy_data import keys, rows
from toy_processes import finish, start, wait_for

MOMENTS = 20
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
    # One in every twentieth of the run, so that the moments reach over all of it.
    moments = [(i + random_moments.random()) / MOMENTS * seconds for i in range(MOMENTS)]

    def kill_and_rerun(number: int) -> bool:
        out, log = tmp_path / f"{number}.parquet", tmp_path / f"{number}.log"
        process = start(*run(images, out, log), log=log)
        wait_for(log, "started")
        time.sleep(moments[number])
        process.kill()
        was_killed = finish(process) == -9
        for part in out.glob("*"):
            pq.read_table(part)
        if out.exists():
            assert len(set(keys(out))) == len(keys(out))
        assert finish(start(*run(images, out, log), log=log)) == 0
        assert rows(out) == expected
        assert not (tmp_path / f".{number}.parquet.staging").exists()
        return was_killed

    with ThreadPoolExecutor(2) as pool:
        killed = sum(pool.map(kill_and_rerun, range(MOMENTS)))
    assert killed >= MOMENTS // 2, "most of the processes had ended before they were killed"
