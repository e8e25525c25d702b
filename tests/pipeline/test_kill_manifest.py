"""A manifest whose making is killed goes on, and is that of an undisturbed run in the end."""

import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import toy_faults
from toy_processes import finish, start

IMAGES, CHUNK = 20, 5  # images in a chunk, after which nothing of it is read again
KILLS = 5


@pytest.fixture
def reference(pictures: Callable[..., Path], tmp_path: Path) -> tuple[Path, list[dict]]:
    """The images, one of them broken, and the rows of a run that nothing befell."""
    images, out = pictures(IMAGES - 1), tmp_path / "reference.parquet"
    (images / "bad.png").write_bytes(b"no picture")
    assert finish(begin(images, out, tmp_path)) == 1
    return images, rows(out)


def rows(out: Path) -> list[dict]:
    return pq.read_table(out).to_pylist()


def begin(images: Path, out: Path, home: Path, **how: str | int) -> BaseProcess:
    words = ["manifest", images, "--out", out, "--split", "0.5,0.5", "--workers", "1"]
    before = partial(toy_faults.listing, chunk=CHUNK, **how)
    return start(*words, log=home / "log", before=before)


@pytest.mark.slow
def test_killed_before_any_step_that_is_seen_it_goes_on(
    reference: tuple[Path, list[dict]], tmp_path: Path
) -> None:
    images, expected = reference
    for step in count():
        home = tmp_path / str(step)
        home.mkdir()
        out = tmp_path / f"{step}.parquet"
        code = finish(begin(images, out, home, dies_at=step))
        assert code in (-9, 1)
        if code == -9:
            assert not out.exists() or rows(out) == expected
            assert finish(begin(images, out, home)) == 1
        assert rows(out) == expected
        assert not (tmp_path / f".{step}.parquet.parts").exists()
        assert not (tmp_path / f".{step}.parquet.part").exists()
        if code == 1:
            break
    assert step == 6, "a kill at each of four chunks, the last rename, and the removal of chunks"


def test_killed_at_random_moments_it_reads_a_chunk_again_at_most(
    reference: tuple[Path, list[dict]], tmp_path: Path
) -> None:
    images, expected = reference
    chance, out, read = random.Random(2), tmp_path / "m.parquet", tmp_path / "read"
    for _ in range(KILLS):
        # Nobody comes to the end before he is killed: the last image is waited for.
        process = begin(images, out, tmp_path, counted=str(read), gate=str(tmp_path / "never"))
        before = read.stat().st_size if read.exists() else 0
        while not (read.exists() and read.stat().st_size > before):
            assert process.is_alive()
            time.sleep(0.005)
        time.sleep(chance.random() * 0.1)
        process.kill()
        assert finish(process) == -9
        assert not out.exists()
    assert finish(begin(images, out, tmp_path, counted=str(read))) == 1
    assert rows(out) == expected
    done = Counter(read.read_text().split())
    assert len(done) == IMAGES
    assert done.total() - len(done) <= CHUNK * KILLS
    assert not (tmp_path / ".m.parquet.parts").exists()
