"""A run from its source to its parts: the same rows however it is cut, and none done twice."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from toy_data import Row, keys, picture, rows

from segcli.errors import UsageError
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import (
    Committed,
    Event,
    ImageFailed,
    Loading,
    Progress,
    Started,
    Summary,
)
from segcli.sources import Source
from segcli.store import read_roots, read_settings
from segcli.types import Sample

SIZES = ((48, 64), (64, 48), (100, 20))


def run(source: Path, out: Path, told: list[Event] | None = None, **options: Any) -> Summary:
    given = {
        "model": "toy",
        "device": "cpu",
        "precision": "float32",
        "workers": 2,
        "replicas": 0,
        **options,
    }
    wanted = PredictOptions(source=str(source), out=out, **given)
    return predict(wanted, report=(told if told is not None else []).append)


def without(row: Row, *positions: int) -> Row:
    return tuple(value for i, value in enumerate(row) if i not in positions)


def test_run_tells_what_it_does(pictures: Callable[..., Path], tmp_path: Path) -> None:
    told: list[Event] = []
    out = tmp_path / "m.parquet"
    summary = run(pictures(5), out, told, chunk_size=3, batch_size=2)
    assert (summary.images, summary.failed, summary.masks) == (5, 0, len(rows(out)))
    table = pq.read_table(out, columns=["category", "score"]).to_pylist()
    shown = Counter(row["category"] for row in table if (row["score"] or 0) >= 0.5)
    assert summary.categories == shown
    assert 0 < (summary.lag_mean_s or 0) <= (summary.lag_max_s or 0) < 600
    assert told[0] == Loading("toy/tiny", "tiny.safetensors")
    assert isinstance(told[1], Started)
    assert [e.images for e in told if isinstance(e, Progress)] == [2, 3, 5]
    assert [e.images for e in told if isinstance(e, Committed)] == [3, 2]
    assert told[-1] == summary


@pytest.mark.parametrize(
    "options", [{"batch_size": 7}, {"chunk_size": 4}, {"workers": 1}, {"batch_size": 1}]
)
def test_rows_do_not_depend_on_how_a_run_is_cut(
    pictures: Callable[..., Path], tmp_path: Path, options: dict[str, int]
) -> None:
    folder = pictures(14, SIZES)
    run(folder, tmp_path / "a.parquet", batch_size=3, chunk_size=50, workers=4)
    run(folder, tmp_path / "b.parquet", **{"batch_size": 3, "chunk_size": 50, **options})
    # The toy computes exactly; a network may differ by 1e-4 in the scores (see its own test).
    assert rows(tmp_path / "a.parquet") == rows(tmp_path / "b.parquet")


def test_rows_do_not_depend_on_the_order_of_the_files(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder = pictures(9, SIZES)
    names = sorted(str(path) for path in folder.iterdir())
    for name, order in (("a", names), ("b", names[::-1])):
        (tmp_path / f"{name}.txt").write_text("\n".join(order))
        run(tmp_path / f"{name}.txt", tmp_path / f"{name}.parquet", batch_size=2)
    assert rows(tmp_path / "a.parquet") == rows(tmp_path / "b.parquet")


def test_interrupted_in_pieces_equals_one_run(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder = pictures(12)
    run(folder, tmp_path / "whole.parquet", chunk_size=4)
    for limit in (4, 4, None):
        run(folder, tmp_path / "pieces.parquet", chunk_size=4, limit=limit)
    assert rows(tmp_path / "pieces.parquet") == rows(tmp_path / "whole.parquet")
    names = [sorted(os.listdir(tmp_path / f"{n}.parquet")) for n in ("pieces", "whole")]
    assert names[0] == names[1]


def test_rerun_does_nothing_and_new_files_are_done(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out = pictures(3), tmp_path / "m.parquet"
    run(folder, out)
    before = rows(out)
    again = run(folder, out)
    assert (again.images, again.earlier) == (0, 3)
    assert rows(out) == before
    pictures(5)
    assert run(folder, out).images == 2
    assert keys(out) == [f"{i:04d}.png" for i in range(5)]


def test_changed_file_is_redone(pictures: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = pictures(3), tmp_path / "m.parquet"
    run(folder, out)
    Image.fromarray(picture(99, (30, 30))).save(folder / "0001.png")
    assert run(folder, out).images == 1
    assert keys(out) == ["0000.png", "0001.png", "0002.png"]
    assert {row[3:5] for row in rows(out) if row[0] == "0001.png"} == {(30, 30)}


def test_failed_images_are_redone_when_asked(pictures: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = pictures(4, ((48, 64), (20, 30))), tmp_path / "m.parquet"
    first = run(folder, out, max_pixels=1000)
    assert (first.failed, first.first_failures[0][0]) == (2, "0000.png")
    again = run(folder, out)
    assert (again.images, again.earlier, again.earlier_failed) == (0, 4, 2)
    retried = run(folder, out, retry_failed=True)
    assert (retried.images, retried.failed, retried.earlier) == (2, 0, 2)
    assert len(os.listdir(out)) == 1
    assert keys(out) == [f"{i:04d}.png" for i in range(4)]


def test_repeated_key_is_done_once_and_counted(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    names = [str(path) for path in sorted(pictures(3).iterdir())]
    (tmp_path / "list.txt").write_text("\n".join([*names, names[0], names[2]]))
    summary = run(tmp_path / "list.txt", tmp_path / "m.parquet", chunk_size=3)
    assert (summary.images, summary.repeated) == (3, 2)
    assert len(keys(tmp_path / "m.parquet")) == 3


def test_limit_counts_the_images_of_this_run(pictures: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = pictures(5), tmp_path / "m.parquet"
    assert run(folder, out, limit=2).images == 2
    assert run(folder, out, limit=2).images == 2
    assert run(folder, out, limit=2).images == 1
    assert run(folder, out, limit=2).images == 0


def test_dry_run_counts_and_writes_nothing(pictures: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = pictures(5), tmp_path / "deep" / "m.parquet"
    planned = run(folder, out, dry_run=True)
    assert (planned.planned, planned.earlier) == (5, 0)
    assert not (tmp_path / "deep").exists()
    run(folder, out, limit=2)
    before = sorted(os.listdir(out.parent))
    planned = run(folder, out, dry_run=True)
    assert (planned.planned, planned.earlier) == (3, 2)
    assert sorted(os.listdir(out.parent)) == before


def test_categories_limit_what_is_found(pictures: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = pictures(3), tmp_path / "m.parquet"
    run(folder, out, categories=("blue",))
    names = [row for row in rows(out) if "blue" in row]
    assert len(names) == len(rows(out)) == 3
    with pytest.raises(UsageError, match="did you mean 'green'"):
        run(folder, tmp_path / "n.parquet", categories=("greeen",))


def test_facts_tell_how_the_rows_were_made(pictures: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = pictures(1), tmp_path / "m.parquet"
    run(folder, out, command_line=("predict", "x"))
    settings = json.loads(json.dumps(read_settings(out)))
    told = json.dumps(settings)
    for expected in ("weights_sha256", "results_version", "float32", "torch", "default_score"):
        assert expected in told
    assert str(folder) in told


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"min_score": 0.2}, "`min_score`"),
        ({"max_masks": 2}, "`max_masks`"),
        ({"precision": "bfloat16"}, "`precision`"),
        ({"categories": ("red",)}, "`categories`"),
        ({"model": "troubled/slow"}, "family"),
    ],
)
def test_other_facts_are_refused_with_the_difference(
    pictures: Callable[..., Path], tmp_path: Path, changed: dict[str, Any], named: str
) -> None:
    folder, out = pictures(1), tmp_path / "m.parquet"
    run(folder, out)
    with pytest.raises(UsageError) as error:
        run(folder, out, **changed)
    assert named in str(error.value)
    assert "m-2.parquet" in str(error.value)


def test_auto_precision_takes_what_the_parts_have(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out = pictures(2), tmp_path / "m.parquet"
    run(folder, out, precision="bfloat16", limit=1)
    told: list[Event] = []
    run(folder, out, told, precision="auto")
    assert [e.precision for e in told if isinstance(e, Started)] == ["bfloat16"]


@pytest.mark.slow
def test_nothing_new_loads_neither_torch_nor_other_heavy_libraries(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out = pictures(2), tmp_path / "m.parquet"
    run(folder, out)
    code = (
        "import sys; from segcli.cli import app\n"
        "try: app()\nexcept SystemExit as end: code = end.code\n"
        "heavy = 'torch torchvision openvino pandas scipy duckdb matplotlib rich av'.split()\n"
        "print(code or 0, *(name for name in heavy if name in sys.modules))"
    )
    command = [
        "predict",
        str(folder),
        "--out",
        str(out),
        "--model",
        "toy",
        "--precision",
        "float32",
    ]
    toy = str(Path(__file__).resolve().parent.parent / "toy")
    ended = subprocess.run(
        [sys.executable, "-c", code, *command],
        env={**os.environ, "PYTHONPATH": toy},
        capture_output=True,
        text=True,
        check=True,
    )
    told = ended.stdout.splitlines()
    assert told == [f"nothing new to do in {out}: 2 images done before", "0"]
    assert ended.stderr == ""


def test_moved_archive_and_second_archive(pictures: Callable[..., Path], tmp_path: Path) -> None:
    first, out = pictures(2, name="cam1"), tmp_path / "m.parquet"
    second = pictures(3, name="cam2")
    run(first, out)
    with pytest.raises(UsageError, match="key_prefix"):
        run(second, out)
    assert run(second, out, key_prefix="cam2").images == 3
    assert keys(out) == ["0000.png", "0001.png", "cam2/0000.png", "cam2/0001.png", "cam2/0002.png"]
    shutil.move(first, tmp_path / "elsewhere")
    assert run(tmp_path / "elsewhere", out, same_source=True).images == 0
    # That was recorded, though there was nothing to do.
    assert run(tmp_path / "elsewhere", out).images == 0
    assert read_roots(out)[""] == sorted([str(first), str(tmp_path / "elsewhere")])


def test_the_move_of_an_archive_is_offered_where_the_keys_match(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    archive, out = pictures(3, name="archive/cam"), tmp_path / "m.parquet"
    shutil.copy(archive / "0000.png", archive.parent)  # cameras count from 0 in every folder
    run(archive.parent, out)
    with pytest.raises(UsageError) as caught:  # a subfolder: other images, whatever their names
        run(archive, out)
    assert "same_source" not in str(caught.value)
    assert f"lies in {archive.parent}: that source with `include='cam/*'`" in str(caught.value)
    assert "key_prefix" in str(caught.value)
    shutil.move(archive.parent, tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="`same_source=True`"):
        run(tmp_path / "elsewhere", out)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"min_score": 1.5}, "`min_score` 1.5"),
        ({"workers": 0}, "`workers` 0"),
        ({"batch_size": -1}, "`batch_size` -1"),
        ({"precision": "float8"}, "`precision` float8"),
        ({"engine": "spark"}, "`engine` spark: expected one of local, ray"),
    ],
)
def test_impossible_options_are_refused(given: dict[str, Any], named: str) -> None:
    options = PredictOptions(source="x", out=Path("y"))
    with pytest.raises(UsageError, match=named):
        replace(options, **given)


def test_a_source_is_listed_once(
    pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segcli.pipeline import run as module

    listed: list[str] = []
    opened = module.open_sources

    def counting(*args: Any, **more: Any) -> Source:
        source = opened(*args, **more)

        def listing() -> Iterator[Sample]:
            for sample in source:
                listed.append(sample.key)
                yield sample

        return replace(source, listing=listing, sift=None)

    monkeypatch.setattr(module, "open_sources", counting)
    told: list[Event] = []
    assert run(pictures(5), tmp_path / "m.parquet", told, batch_size=1).images == 5
    assert sorted(listed) == [f"{i:04d}.png" for i in range(5)]
    assert [e.total for e in told if isinstance(e, Progress)][-1] == 5


def test_what_the_output_holds_is_what_is_earlier_and_redone(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out = pictures(6), tmp_path / "m.parquet"
    run(folder, out)
    for number in (1, 4):
        Image.fromarray(picture(90 + number, (30, 30))).save(folder / f"{number:04d}.png")
    pictures(8)
    told: list[Event] = []
    summary = run(folder, out, told)
    assert [e.in_output for e in told if isinstance(e, Started)] == [6]
    assert (summary.images, summary.redone, summary.earlier) == (4, 2, 4)


def test_every_failed_image_is_an_event(pictures: Callable[..., Path], tmp_path: Path) -> None:
    folder, told = pictures(1), list[Event]()
    for number in range(14):
        (folder / f"bad{number:02d}.png").write_bytes(b"no")
    summary = run(folder, tmp_path / "m.parquet", told)
    assert [e.key for e in told if isinstance(e, ImageFailed)] == [
        f"bad{number:02d}.png" for number in range(14)
    ]
    assert len(summary.first_failures) == 10


def test_a_run_that_makes_no_output_leaves_nothing(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder = pictures(1)
    with pytest.raises(UsageError, match="tpu"):
        run(folder, tmp_path / "deep" / "er" / "m.parquet", device="cuda:99,tpu")
    with pytest.raises(UsageError, match="cuda:99"):
        run(folder, tmp_path / "deep" / "er" / "m.parquet", device="cuda:99")
    assert os.listdir(tmp_path) == ["images"]


def test_the_speed_of_a_run_leaves_out_what_rewrote_its_parts_later(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    from segcli.stats.runs import speeds
    from segcli.store import compact

    folder, out = pictures(6), tmp_path / "m.parquet"
    seconds = run(folder, out, chunk_size=2).seconds
    first = speeds(out)
    assert [speed["images"] for speed in first] == [6]
    assert 0 < first[0]["seconds"] <= seconds + 0.1
    later = (time.time() + 3600,) * 2
    for part in out.iterdir():
        os.utime(part, later)
    Image.fromarray(picture(99, (30, 30))).save(folder / "0001.png")
    assert run(folder, out).redone == 1
    assert speeds(out) == first
    compact(out, images=100)
    assert speeds(out) == first
    pictures(7)
    run(folder, out)
    assert [speed["images"] for speed in speeds(out)] == [6, 1]


def test_folders_left_out_are_reported(pictures: Callable[..., Path], tmp_path: Path) -> None:
    folder, told = pictures(1), list[Event]()
    shutil.copytree(folder, tmp_path / "images" / "@eaDir")
    assert run(folder, tmp_path / "m.parquet", told).images == 1
    assert "1 folder of NAS or archive tools was left out, such as @eaDir/" in str(told[-2])
    assert run(folder, tmp_path / "all.parquet", all_folders=True).images == 2
