"""The table of faults: what is given, and what comes of it."""

import os
import pickle
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy_faults
import toy_gate
import toy_worker
from PIL import Image
from toy_data import keys, picture, rows
from toy_processes import finish, start, wait_for

from segcli.errors import NothingDone, UsageError
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Summary


def run(source: Path | str, out: Path, **options: Any) -> Summary:
    given = {
        "model": "toy",
        "device": "cpu",
        "precision": "float32",
        "workers": 2,
        "replicas": 0,
        **options,
    }
    return predict(PredictOptions(source=str(source), out=out, **given), report=[].append)


def reasons(out: Path) -> dict[str, str]:
    status, error = 1, 2
    return {row[0]: row[error] for row in rows(out) if row[status] == "failed"}


def png_header(height: int, width: int) -> bytes:
    """A PNG without data that claims to be this large."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    length, check = struct.pack(">I", 13), struct.pack(">I", zlib.crc32(body))
    no_data = bytes(4) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    return b"\x89PNG\r\n\x1a\n" + length + body + check + no_data


def test_each_bad_image_is_a_row_with_its_reason(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out = pictures(2), tmp_path / "m.parquet"
    Image.fromarray(picture(5, (200, 200))).save(folder / "whole.jpg")
    data = (folder / "whole.jpg").read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "truncated.jpg").write_bytes(data[: len(data) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_bytes(b"this is no picture at all\n" * 10)
    (folder / "bomb.png").write_bytes(png_header(100_000, 100_000))
    (folder / "cut.png").write_bytes((folder / "0000.png").read_bytes()[:90])
    summary = run(folder, out)
    assert (summary.images, summary.failed) == (7, 5)
    told = reasons(out)
    assert sorted(told) == ["bomb.png", "cut.png", "empty.jpg", "text.jpg", "truncated.jpg"]
    assert all(told.values())
    assert "`max_pixels`" in told["bomb.png"]
    assert "truncated" in told["truncated.jpg"]
    assert "MPO" not in told["text.jpg"]


def test_directory_and_vanished_file_in_a_list_are_rows(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder = pictures(1)
    (folder / "x.jpg").mkdir()
    paths = [folder / "0000.png", folder / "x.jpg", folder / "gone.png"]
    (tmp_path / "list.txt").write_text("\n".join(map(str, paths)))
    summary = run(tmp_path / "list.txt", tmp_path / "m.parquet")
    assert (summary.images, summary.failed) == (3, 2)
    assert sorted(reasons(tmp_path / "m.parquet")) == [
        str(folder / "gone.png"),
        str(folder / "x.jpg"),
    ]


def test_file_that_vanishes_after_listing_is_a_row(
    pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segcli.pipeline.stages import prefetch

    folder, read = pictures(3), prefetch.read

    def vanish(sample: Any) -> bytes:
        if sample.key == "0001.png":
            os.unlink(sample.path)
        return read(sample)

    monkeypatch.setattr(prefetch, "read", vanish)
    assert run(folder, tmp_path / "m.parquet").failed == 1
    assert list(reasons(tmp_path / "m.parquet")) == ["0001.png"]


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(
    not toy_faults.nobody_can_enter(), reason="only its owner can enter this checkout's folder"
)
def test_unreadable_file_is_a_row(pictures: Callable[..., Path], public_folder: Path) -> None:
    shutil.copytree(pictures(3), public_folder / "images")
    (public_folder / "images" / "0001.png").chmod(0o000)
    run(pictures(3), public_folder / "warm.parquet")  # everything is imported, whoever we are then
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        summary = run(public_folder / "images", public_folder / "m.parquet")
    finally:
        if is_root:
            os.seteuid(0)
    assert summary.failed == 1
    assert "ermission" in reasons(public_folder / "m.parquet")["0001.png"]


def test_every_image_failing_claims_no_success(tmp_path: Path) -> None:
    folder, out = tmp_path / "images", tmp_path / "m.parquet"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(b"no")
    with pytest.raises(
        NothingDone, match=r"not one of 3 images could be processed, the first \(0.jpg\)"
    ):
        run(folder, out)
    assert len(reasons(out)) == 3


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_wrong_use_is_refused_and_nothing_is_written(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder = pictures(1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    pq.write_table(pa.table({"image": ["a.png"]}), tmp_path / "manifest.parquet")
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Malicious(tmp_path / "pwned"), protocol=2))
    shutil.copy(Path(__file__).parents[1] / "toy/segcli_toy/weights/tiny.safetensors", tmp_path)
    toy = str(tmp_path / "tiny.safetensors")
    work = tmp_path / "work"
    work.mkdir()
    out = work / "m.parquet"
    cases: list[tuple[Path, Path, dict[str, Any], str]] = [
        (tmp_path / "missing", out, {}, "missing"),
        (tmp_path / "empty", out, {}, "empty"),
        (tmp_path / "texts", out, {}, "texts"),
        (tmp_path / "manifest.parquet", out, {"column": "picture"}, "picture"),
        (folder, tmp_path / "file", {}, "is a file"),
        (folder, out, {"model": "toi"}, "did you mean 'toy'"),
        (folder, out, {"model": "toy/tinny"}, "did you mean 'tiny'"),
        (
            folder,
            out,
            {"weights": toy, "model": "troubled"},
            "toy/tiny",
        ),
        (folder, out, {"weights": str(tmp_path / "evil.pth")}, "nothing in it was executed"),
        (folder, out, {"device": "cuda:99"}, "cuda:99"),
    ]
    for source, target, options, expected in cases:
        with pytest.raises(UsageError, match=expected):
            run(source, target, **options)
    assert os.listdir(work) == []
    assert not (tmp_path / "pwned").exists()


def test_names_are_kept_distinct_and_exact(tmp_path: Path) -> None:
    folder, out = tmp_path / "images", tmp_path / "m.parquet"
    names = [b"with space.png", b"new\nline.png", b"caf\xe9.png", "ü.png".encode(), b"a#b.png"]
    names += [b"n" * 246 + b".png", b"one/same.png", b"two/same.png", b"back\\slash.png"]
    for number, name in enumerate(names):
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(path)
    assert run(folder, out).failed == 0
    found = keys(out)
    assert len(set(found)) == len(names)
    from segcli.sources import path_from_key

    assert sorted(os.fsencode(path_from_key(key)) for key in found) == sorted(names)
    assert run(folder, out).images == 0


def test_images_of_extreme_sizes_are_rows(tmp_path: Path) -> None:
    folder, out = tmp_path / "images", tmp_path / "m.parquet"
    folder.mkdir()
    sizes = {"dot.png": (1, 1), "row.png": (1, 5000), "column.png": (5000, 1)}
    for name, size in sizes.items():
        Image.fromarray(np.full((*size, 3), 128, np.uint8)).save(folder / name)
    sizes["huge.jpg"] = (9000, 12000)
    Image.new("RGB", (12000, 9000), (200, 0, 0)).save(folder / "huge.jpg")
    assert run(folder, out).failed == 0
    found = {row[0]: (row[3], row[4]) for row in rows(out)}
    assert found == sizes
    assert max(pq.read_table(out)["area"].drop_null().to_pylist()) == 12000 * 9000


@pytest.mark.slow
def test_full_disk_is_told_and_the_rerun_continues(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out, log = pictures(6), tmp_path / "m.parquet", tmp_path / "log"
    command = ["predict", folder, "--out", out, "--model", "toy", "--chunk-size", "3"]
    assert finish(start(*command, log=log, file_limit=3000)) == 7
    assert "cannot write" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert not out.exists()
    assert finish(start(*command, log=log)) == 0
    assert len(keys(out)) == 6


def test_second_process_on_an_output_is_told_at_once(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out = pictures(12), tmp_path / "m.parquet"
    command = ["predict", folder, "--out", out, "--model", "troubled/slow", "--chunk-size", "4"]
    gate = tmp_path / "gate"
    before = partial(toy_gate.shut, str(gate), "0004.png")
    first = start(*command, "--log-format", "json", log=tmp_path / "1.log", before=before)
    wait_for(tmp_path / "1.log", "started")
    second = start(*command, log=tmp_path / "2.log")
    waiting = start(*command, "--wait", log=tmp_path / "3.log")
    assert finish(second) == 4
    gate.touch()
    assert "another process is using" in (tmp_path / "2.log").read_text()
    assert finish(first) == 0
    assert finish(waiting) == 0
    assert len(keys(out)) == 12


def test_second_run_is_refused_while_the_first_loads_its_model(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out = pictures(4), tmp_path / "m.parquet"
    command = ["predict", folder, "--out", out, "--model", "toy", "--log-format", "json"]
    gate = tmp_path / "gate"
    before = partial(toy_gate.shut, str(gate), "")
    first = start(*command, log=tmp_path / "1.log", load=toy_worker.load_at_gate, before=before)
    wait_for(tmp_path / "1.log", "loading")
    assert finish(start(*command, log=tmp_path / "2.log", load=toy_worker.load_at_gate)) == 4
    assert "loading" not in (tmp_path / "2.log").read_text(), "it need not load a model for that"
    gate.touch()
    assert finish(first) == 0
    assert len(keys(out)) == 4
