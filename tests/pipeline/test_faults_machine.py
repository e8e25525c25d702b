"""What machines, their disks and their clocks do to a run; it can be gone on with after each."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import toy_faults
import toy_gate
import toy_worker
from toy_data import keys, rows
from toy_processes import events, finish, start, wait_for

OPTIONS = ["--chunk-size", "4", "--batch-size", "2", "--log-format", "json"]


def command(images: Path, out: Path, *more: str, model: str = "toy") -> list[str | Path]:
    return ["predict", images, "--out", out, "--model", model, *OPTIONS, *more]


def reference(images: Path, tmp_path: Path) -> list:
    """The rows of a run that nothing befell."""
    out = tmp_path / "reference.parquet"
    assert finish(start(*command(images, out), log=tmp_path / "reference.log")) in (0, 1)
    return rows(out)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (toy_faults.no_space, "No space left on device"),
        (toy_faults.no_quota, "Disk quota exceeded"),
        (toy_faults.read_only, "Read-only file system"),
        (toy_faults.broken_disk, "Input/output error"),
    ],
)
@pytest.mark.slow
def test_disk_that_refuses_a_part_ends_the_run_and_keeps_the_others(
    pictures: Callable[..., Path], tmp_path: Path, fault: Callable[[], None], told: str
) -> None:
    images, out, log = pictures(8), tmp_path / "m.parquet", tmp_path / "log"
    assert finish(start(*command(images, out), log=log, before=fault)) == 7
    assert told in log.read_text()
    assert "run the same command again" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert keys(out) == ["0000.png", "0001.png", "0002.png", "0003.png"]
    assert not (tmp_path / ".m.parquet.staging").exists()
    assert finish(start(*command(images, out), log=log)) == 0
    assert rows(out) == reference(images, tmp_path)


@pytest.mark.skipif(
    not toy_faults.nobody_can_enter(), reason="only its owner can enter this checkout's folder"
)
def test_folder_that_cannot_be_written_is_told_before_the_work(
    pictures: Callable[..., Path], public_folder: Path, tmp_path: Path
) -> None:
    images = shutil.copytree(pictures(2), public_folder / "images")
    out, log = public_folder / "m.parquet", tmp_path / "log"
    log.touch()
    public_folder.chmod(0o555)
    assert finish(start(*command(images, out), log=log, before=toy_faults.nobody)) == 7
    assert "needs a folder that can be written" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert os.listdir(public_folder) == ["images"]


@pytest.mark.skipif(
    not toy_faults.nobody_can_enter(), reason="only its owner can enter this checkout's folder"
)
def test_output_that_cannot_be_written_any_more_keeps_what_it_has(
    pictures: Callable[..., Path], public_folder: Path, tmp_path: Path
) -> None:
    public_folder.chmod(0o777)
    images = shutil.copytree(pictures(4), public_folder / "images")
    out, log = public_folder / "m.parquet", tmp_path / "log"
    assert finish(start(*command(images, out), log=log, before=toy_faults.nobody)) == 0
    pictures(8)
    shutil.copytree(tmp_path / "images", images, dirs_exist_ok=True)
    for path in images.iterdir():
        os.utime(path, ns=(0, 0))
    out.chmod(0o555)
    assert finish(start(*command(images, out), log=log, before=toy_faults.nobody)) == 7
    assert "Permission denied" in log.read_text()
    assert len(keys(out)) == 4
    out.chmod(0o755)
    assert finish(start(*command(images, out), log=log, before=toy_faults.nobody)) == 0
    assert len(keys(out)) == 8


def test_output_that_is_deleted_meanwhile_is_told_and_made_anew_by_the_next_run(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images, out, log = pictures(24), tmp_path / "m.parquet", tmp_path / "log"
    gate = tmp_path / "gate"
    before = partial(toy_gate.shut, str(gate), "0004.png")
    process = start(*command(images, out, model="troubled/slow"), log=log, before=before)
    wait_for(log, "committed")
    shutil.rmtree(out)
    gate.touch()
    assert finish(process) == 7
    assert "No such file or directory" in log.read_text()
    assert not out.exists(), "rows without those before them would look like all there are"
    assert finish(start(*command(images, out, model="troubled/slow"), log=log)) == 0
    assert len(keys(out)) == 24


def test_clock_that_goes_back_changes_nothing(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images, out, log = pictures(12), tmp_path / "m.parquet", tmp_path / "log"
    for number, moment in enumerate((-(10**18), 0, 1, 7 * 10**18)):  # 1938, 1970, 2191
        os.utime(images / f"{number:04d}.png", ns=(moment, moment))
    assert finish(start(*command(images, out), log=log, before=toy_faults.clock_goes_back)) == 0
    assert rows(out) == reference(images, tmp_path)
    assert finish(start(*command(images, out), log=log, before=toy_faults.clock_goes_back)) == 0
    assert events(log)[-1]["images"] == 0
    found = images / "0007.png"
    before = found.stat().st_mtime_ns - 3600 * 10**9
    os.utime(found, ns=(before, before))  # an older file than before is another file, too
    assert finish(start(*command(images, out), log=log)) == 0
    assert events(log)[-1]["images"] == 1
    assert [row[7] for row in rows(out) if row[0] == "0007.png"][0] == before


def test_sigterm_in_the_middle_of_a_commit_finishes_it(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images, out, log = pictures(12), tmp_path / "m.parquet", tmp_path / "log"
    for done in (4, 8):  # the first makes the directory, the second joins it
        process = start(*command(images, out), log=log, before=toy_faults.ended_in_commit)
        assert finish(process) == 143
        assert len(keys(out)) == done
    assert finish(start(*command(images, out), log=log)) == 0
    assert rows(out) == reference(images, tmp_path)


def test_process_that_is_stopped_for_a_while_goes_on(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images, out, log = pictures(12), tmp_path / "m.parquet", tmp_path / "log"
    gate = tmp_path / "gate"
    before = partial(toy_gate.shut, str(gate), "0002.png")
    process = start(*command(images, out, model="troubled/slow"), log=log, before=before)
    wait_for(log, "progress")
    os.kill(process.pid or 0, signal.SIGSTOP)
    gate.touch()
    time.sleep(1.5)
    assert not [e for e in events(log) if e["event"] == "committed"], "it was not stopped"
    os.kill(process.pid or 0, signal.SIGCONT)
    assert finish(process) == 0
    assert keys(out) == [f"{number:04d}.png" for number in range(12)]


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["the coordinator", "a worker"])
def test_worker_processes_that_are_stopped_double_nothing(
    pictures: Callable[..., Path], tmp_path: Path, whom: str
) -> None:
    """A worker that does not go on for longer than it may is killed, stopped as it is."""
    images, out, log = pictures(60), tmp_path / "m.parquet", tmp_path / "log"
    gate = tmp_path / "gate"
    words = command(images, out, "--replicas", "2", "--chunk-timeout", "20")
    before = partial(toy_gate.shut, str(gate), "0030.png")
    process = start(*words, log=log, load=toy_worker.load_fake, before=before)
    wait_for(log, "committed")
    coordinator = process.pid or 0
    worker = toy_faults.workers_of(coordinator)[0]
    stopped = coordinator if whom == "the coordinator" else worker
    os.kill(stopped, signal.SIGSTOP)
    gate.touch()
    if whom == "the coordinator":
        time.sleep(1.5)
        os.kill(stopped, signal.SIGCONT)
    assert finish(process) == 0
    assert keys(out) == [f"{number:04d}.png" for number in range(60)]
    assert not Path(f"/proc/{worker}").exists()


@pytest.mark.slow
def test_ten_thousand_failed_files_are_rows_and_ten_of_them_are_told(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    images, out, log = pictures(1), tmp_path / "m.parquet", tmp_path / "log"
    for number in range(10_000):
        (images / f"bad{number:05d}.jpg").write_bytes(b"no picture")
    words = ["predict", images, "--out", out, "--model", "toy"]
    assert finish(start(*words, log=log), seconds=900) == 1
    found = rows(out)
    assert len({row[0] for row in found}) == 10_001
    assert sum(row[1] == "failed" for row in found) == 10_000
    assert log.read_text().count("no picture") + log.read_text().count("bad0") < 30
    assert log.stat().st_size < 10_000
    assert finish(start(*words, log=log)) == 0, "earlier failures are no news"
