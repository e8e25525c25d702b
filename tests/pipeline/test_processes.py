"""Several workers: the same rows as one, and nothing lost or doubled when some of them die."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy_worker
from toy_data import keys, rows

from segcli.errors import NothingDone, UsageError, WorkersLost
from segcli.pipeline import PredictOptions, predict, retries
from segcli.pipeline.events import Committed, Event, Note, Progress, Started, Summary
from segcli.pipeline.job import Load
from segcli.pipeline.stages.predictor import load_predictor

FAKE = toy_worker.load_fake


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., Path]:
    """make(count, *names) -> a folder of so many files, and these; the fake reads none of them."""

    def make(count: int, *names: str) -> Path:
        folder = tmp_path / "images"
        folder.mkdir()
        for name in [*(f"{number:04d}" for number in range(count)), *names]:
            (folder / f"{name}.png").write_bytes(b"any")
        return folder

    return make


def run(
    source: Path, out: Path, told: list[Event] | None = None, load: Load = FAKE, **options: Any
) -> Summary:
    given = {"model": "toy", "device": "cpu", "precision": "float32", "replicas": 2, **options}
    wanted = PredictOptions(source=str(source), out=out, **given)
    return predict(wanted, report=(told if told is not None else []).append, load=load)


def reasons(out: Path) -> dict[str, str]:
    return {row[0]: row[2] for row in rows(out) if row[1] == "failed"}


@pytest.mark.slow
def test_every_image_is_done_once_and_told(files: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = files(50), tmp_path / "m.parquet"
    told: list[Event] = []
    summary = run(folder, out, told, chunk_size=8)
    assert (summary.images, summary.masks, summary.failed) == (50, 50, 0)
    assert keys(out) == [f"{i:04d}.png" for i in range(50)]
    assert sorted(e.images for e in told if isinstance(e, Committed)) == [2, 8, 8, 8, 8, 8, 8]
    assert [e.device for e in told if isinstance(e, Started)] == ["cpu (2 workers each)"]
    assert [e.images for e in told if isinstance(e, Progress)][-1] == 50
    assert not [e for e in told if isinstance(e, Note)]
    assert sorted(os.listdir(tmp_path)) == [".m.parquet.lock", "images", "m.parquet"]


@pytest.mark.slow
def test_the_coordinator_loads_no_torch_and_leaves_no_process(
    files: Callable[..., Path], tmp_path: Path
) -> None:
    import subprocess
    import sys

    toy = Path(__file__).resolve().parent.parent / "toy"
    code = (
        f"import sys; sys.path.insert(0, {str(toy)!r})\n"
        "from pathlib import Path; import toy_worker\n"
        "from segcli.pipeline import PredictOptions, predict\n"
        "o = PredictOptions(source=sys.argv[1], out=Path(sys.argv[2]), model='toy', "
        "device='cpu', precision='float32', replicas=2)\n"
        "done = predict(o, report=[].append, load=toy_worker.load_fake)\n"
        "print(done.images, 'torch' in sys.modules)\n"
        "import os\n"
        "try: os.waitpid(-1, os.WNOHANG)\n"
        "except ChildProcessError: print('no child')"
    )
    command = [sys.executable, "-c", code, str(files(5)), str(tmp_path / "m.parquet")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["5 False", "no child"]


@pytest.mark.slow
def test_crash_costs_one_image(files: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = files(20, "0007crash"), tmp_path / "m.parquet"
    told: list[Event] = []
    summary = run(folder, out, told, chunk_size=6)
    assert (summary.images, summary.failed) == (21, 1)
    assert len(set(keys(out))) == len(keys(out)) == 21
    assert list(reasons(out)) == ["0007crash.png"]
    assert "SIGSEGV (segmentation fault)" in reasons(out)["0007crash.png"]
    assert summary.first_failures[0][0] == "0007crash.png"
    notes = [e.message for e in told if isinstance(e, Note)]
    assert "a worker died over 6 image(s)" in notes[0]
    assert run(folder, out).images == 0  # the row stays, and is no reason to try again


@pytest.mark.slow
def test_hung_worker_is_killed_and_costs_one_image(
    files: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out = files(2), tmp_path / "m.parquet"
    run(folder, out, replicas=1)
    (folder / "hang.png").write_bytes(b"any")
    # Nothing else is left to do, so on a busy machine nobody else seems to hang.
    with pytest.raises(NothingDone, match="it hung: no batch was finished for 1 s"):
        run(folder, out, chunk_timeout=1.0, replicas=1)
    assert list(reasons(out)) == ["hang.png"]
    assert len(keys(out)) == 3


@pytest.mark.slow
def test_exception_that_nobody_expects_costs_one_image(
    files: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out = files(3, "0001odd"), tmp_path / "m.parquet"
    assert run(folder, out, chunk_size=4, replicas=1).failed == 1
    assert "LookupError: odd: 0001odd.png" in reasons(out)["0001odd.png"]


@pytest.mark.slow
def test_killed_worker_costs_nothing(files: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = files(10, "0002once", "0005once"), tmp_path / "m.parquet"
    summary = run(folder, out, chunk_size=4)
    assert (summary.images, summary.failed) == (12, 0)
    assert len(keys(out)) == len(set(keys(out))) == 12
    assert sorted(os.listdir(tmp_path)) == [".m.parquet.lock", "images", "m.parquet"]


@pytest.mark.slow
def test_crashes_while_failed_images_are_redone(files: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = files(6, "0003crash"), tmp_path / "m.parquet"
    run(folder, out, chunk_size=7, replicas=1)
    parts = sorted(os.listdir(out))
    for name in ("0001", "0003crash"):  # changed, of one part and of another
        (folder / f"{name}.png").write_bytes(b"longer")
    again = run(folder, out)
    assert (again.images, again.failed, again.earlier) == (2, 1, 5)
    assert sorted(os.listdir(out)) == parts
    assert len(keys(out)) == len(set(keys(out))) == 7


@pytest.mark.slow
def test_workers_that_die_of_everything_end_the_run(
    files: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "GIVE_UP_AFTER", 2)  # lest it take long
    folder = files(0, *(f"{i}crash" for i in range(4)))
    with pytest.raises(NothingDone, match=r"first 2 images killed its worker process \(SIGSEGV"):
        run(folder, tmp_path / "m.parquet", chunk_size=1)


def test_workers_that_cannot_start_end_the_run(files: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(WorkersLost, match="no worker can be started: SIGKILL"):
        run(files(2), tmp_path / "m.parquet", load=toy_worker.load_dying, replicas=1)


@pytest.mark.slow
def test_device_that_is_not_there_is_a_usage_error(
    files: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="cuda:99"):
        run(
            files(2),
            tmp_path / "m.parquet",
            device="cuda:99",
            load=load_predictor,
            replicas=1,
        )
    assert os.listdir(tmp_path) == ["images"]


def test_too_little_memory_is_a_usage_error_that_says_how_much(
    files: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"`max_memory` 100MB is too little for 2 worker.*give "):
        run(files(2), tmp_path / "m.parquet", max_memory=100 << 20)


def test_repeated_key_in_another_chunk_is_done_once(
    files: Callable[..., Path], tmp_path: Path
) -> None:
    names = [str(path) for path in sorted(files(4).iterdir())]
    (tmp_path / "list.txt").write_text("\n".join([*names, *names]))
    summary = run(tmp_path / "list.txt", tmp_path / "m.parquet", chunk_size=2)
    assert (summary.images, summary.repeated) == (4, 4)


@pytest.mark.slow
def test_limit_and_retry(files: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = files(5, "0004crash"), tmp_path / "m.parquet"
    assert run(folder, out, limit=3, chunk_size=2).images == 3
    assert run(folder, out, chunk_size=2).images == 3
    assert len(reasons(out)) == 1
    with pytest.raises(NothingDone, match="not one of 1 image"):
        run(folder, out, retry_failed=True)
    assert len(keys(out)) == 6


def test_all_means_the_devices_that_the_first_worker_finds(
    files: Callable[..., Path], tmp_path: Path
) -> None:
    told: list[Event] = []
    run(files(6), tmp_path / "m.parquet", told, device="all", chunk_size=2)
    assert [e.device for e in told if isinstance(e, Started)] == ["cpu (2 workers each)"]
    assert len(keys(tmp_path / "m.parquet")) == 6


def test_several_devices_need_processes(files: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`replicas=0` starts none"):
        run(files(1), tmp_path / "m.parquet", device="cpu,cuda", replicas=0)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan])
def test_a_limit_that_cannot_be_is_refused(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(UsageError, match="chunk_timeout"):
        PredictOptions(source=str(tmp_path), out=tmp_path / "m", chunk_timeout=seconds)
