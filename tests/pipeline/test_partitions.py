"""Runs with partitions: rows, chunks, and what reads the parts."""

import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
import toy_data
import toy_worker
from PIL import Image
from pipeline.conftest import TOY

from segcli.cli.progress import unpartitioned_lines
from segcli.errors import UsageError
from segcli.partitions import Partitions
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.chunk_size import ChunkSize
from segcli.pipeline.events import Summary
from segcli.pipeline.open_chunks import OpenChunks
from segcli.pipeline.partition_check import check_partitions
from segcli.sources import Source
from segcli.store import compact, part_paths, status
from segcli.store.directory import list_parts
from segcli.store.verification import verify
from segcli.track import TrackOptions, track
from segcli.types import Sample

DAYS = ("20261126", "20261127")
CAMERAS = ("gate", "yard")


def run(source: Path, out: Path, **options: Any) -> Summary:
    given = {
        "model": "toy", "device": "cpu", "precision": "float32", "replicas": 0, "workers": 1,
        "partition_by": "date,camera", "chunk_size": 4, **options,
    }  # fmt: skip
    return predict(PredictOptions(source=str(source), out=out, **given), report=lambda event: None)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three stills of two cameras on two days, which alternate in the listing, and one undated."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(3):
        for day in DAYS:
            for camera in CAMERAS:
                write(folder / f"{number}" / camera / f"{day}_{number}.png", number)
    write(folder / "undated.png", 9)
    return folder


def write(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(toy_data.picture(number, (48, 64))).save(path, compress_level=1)


PATTERN = "%(camera)/%Y%m%d_"


@pytest.fixture(scope="module")
def outputs(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same images without and with partitions."""
    home = tmp_path_factory.mktemp("outputs")
    plain, parted = home / "plain.parquet", home / "parted.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOY)
        run(archive, plain, partition_by=None, time_pattern=PATTERN)
        run(archive, parted, time_pattern=PATTERN)
    return plain, parted


def rows(out: Path) -> list[dict[str, Any]]:
    found = [row for part in part_paths(out) for row in ds.dataset(part).to_table().to_pylist()]
    return sorted(found, key=lambda row: (row["key"], row["mask"] or 0))


def test_rows_are_those_without_partitions(outputs: tuple[Path, Path]) -> None:
    plain, parted = outputs
    assert rows(plain) == rows(parted)
    unknown = "__HIVE_DEFAULT_PARTITION__"
    folders = Counter(name.rpartition("/")[0] for name in list_parts(parted))
    expected = {f"date=2026-11-{day}/camera={camera}" for day in (26, 27) for camera in CAMERAS}
    assert folders == Counter([*expected, f"date={unknown}/camera=."]), "a part for each"
    assert verify(parted).is_intact


def test_duckdb_and_pyarrow_read_only_the_partitions_that_are_asked_for(
    outputs: tuple[Path, Path],
) -> None:
    plain, parted = outputs
    expected = [row for row in rows(plain) if "gate/20261127" in row["key"]]
    files = f"'{parted}/**/*.parquet'"
    query = (
        f"SELECT key, filename FROM read_parquet({files}, hive_partitioning = true, "
        f"filename = true) WHERE date = '2026-11-27' AND camera = 'gate'"
    )
    found = duckdb.sql(query).fetchall()
    assert sorted(key for key, _ in found) == [row["key"] for row in expected]
    assert len({name for _, name in found}) == 1
    ((plan,),) = [row[1:] for row in duckdb.sql(f"EXPLAIN ANALYZE {query}").fetchall()]
    assert "Total Files Read: 1" in plan
    columns = duckdb.sql(f"DESCRIBE FROM read_parquet({files})").fetchall()
    assert {("date", "DATE"), ("camera", "VARCHAR")} <= {column[:2] for column in columns}
    data = ds.dataset(parted, partitioning="hive")
    where = (pc.field("date") == "2026-11-27") & (pc.field("camera") == "gate")
    assert data.to_table(filter=where).num_rows == len(expected)
    assert len([*data.get_fragments(filter=where)]) == 1
    assert data.to_table(filter=pc.field("date").is_null()).num_rows > 0, "the undated one"


def test_tracks_are_those_without_partitions(outputs: tuple[Path, Path], tmp_path: Path) -> None:
    found = []
    for out in outputs:
        path, copy = tmp_path / out.name, tmp_path / f"copy-{out.name}"
        shutil.copytree(out, path)
        track(TrackOptions(masks=path), report=lambda text: None)
        track(TrackOptions(masks=out, out=copy), report=lambda text: None)
        assert rows(path) == rows(copy)
        assert list_parts(path) == list_parts(copy) == list_parts(out)
        found.append([(row["key"], row["mask"], row["track_id"]) for row in rows(path)])
    assert found[0] == found[1]
    assert any(track is not None for _, _, track in found[0])


def test_a_later_run_does_what_is_new_changed_or_failed(archive: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "m.parquet"
    shutil.copytree(archive, source)
    broken = source / "0" / "gate" / f"{DAYS[0]}_0.png"
    content = broken.read_bytes()
    broken.write_bytes(b"no image")
    assert run(source, out).failed == 1
    names = list_parts(out)
    os.utime(source / "1" / "yard" / f"{DAYS[0]}_1.png", (2e9, 2e9))  # in 2033
    write(source / "2" / "yard" / "20261128_1.png", 1)
    again = run(source, out)
    assert (again.images, again.redone) == (2, 1)
    assert {*list_parts(out)} - {*names} == {
        name for name in list_parts(out) if name.startswith("date=2026-11-28/camera=2%2Fyard/")
    }
    broken.write_bytes(content)
    assert run(source, out, retry_failed=True).redone == 1
    assert status(out).failed == 0
    broken.unlink()
    assert run(source, out, prune_missing=True).pruned == 1
    assert verify(out).is_intact
    part_paths(out)[0].write_bytes(b"damaged")
    assert verify(out, repair=True).is_intact
    run(source, out)
    assert compact(out, images=100).after == len(
        {name.rpartition("/")[0] for name in list_parts(out)}
    )
    plain = tmp_path / "plain.parquet"
    run(source, plain, partition_by=None)
    assert rows(plain) == rows(out)


def test_archives_and_clips_of_several_partitions_are_not_opened_again(
    archive: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, plain, parted = tmp_path / "source", tmp_path / "plain", tmp_path / "parted"
    source.mkdir()
    with tarfile.open(source / "all.tar", "w") as tar:  # of which cameras and days alternate
        tar.add(archive, "")
    for name in ("gate_20261126_0800.mkv", "yard_20261127_0800.mkv"):
        shutil.copy(clip, source / name)
    run(source, plain, partition_by=None, every="10f")
    assert run(source, parted, every="10f", limit=7).images == 7
    run(source, parted, every="10f")
    assert rows(parted) == rows(plain)
    monkeypatch.setattr("segcli.sources.archive._members", None)  # what opens them
    monkeypatch.setattr("segcli.video.timeline.read_timeline", None)
    again = run(source, parted, every="10f")
    assert (again.images, again.earlier) == (0, 19)


def test_static_images_repeat_one_of_their_partition(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for camera in CAMERAS:
        for name in (f"{day}_{number}.png" for day in DAYS for number in range(3)):
            write(source / camera / name, 1)
            os.utime(source / camera / name, (1e9, 1e9))
    static = {}
    for by in (None, "camera", "date,camera"):
        out = tmp_path / f"{by}.parquet"
        static[by] = run(source, out, partition_by=by, skip_static=True).static
        assert verify(out).is_intact
    assert static == {None: 10, "camera": 10, "date,camera": 8}
    assert rows(tmp_path / "camera.parquet") == rows(tmp_path / "None.parquet")


def test_a_worker_that_dies_costs_no_image_of_any_partition(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "m.parquet"
    keys = [f"{n}/{camera}/{day}.png" for n in "012" for camera in CAMERAS for day in DAYS]
    keys.append("0/gate/once.png")  # kills the first worker that gets it
    for key in keys:
        write(source / key, 1)
    options = PredictOptions(
        source=str(source), out=out, model="toy", device="cpu", replicas=2, chunk_size=2,
        partition_by="camera,date",
    )  # fmt: skip
    done = predict(options, report=lambda event: None, load=toy_worker.load_fake)
    assert (done.images, done.failed) == (13, 0)
    assert [row["key"] for row in rows(out)] == sorted(keys)
    folder = Partitions(("camera", "date")).folder
    assert {name.rpartition("/")[0] for name in list_parts(out)} == {*map(folder, keys)}


def test_shards_share_an_output(archive: Path, outputs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    for index in range(2):
        run(archive, out, shard=f"{index}/2", time_pattern=PATTERN)
    assert rows(out) == rows(outputs[0])
    assert verify(out).is_intact


def test_another_partition_is_refused_with_the_old_one(
    archive: Path, outputs: tuple[Path, Path]
) -> None:
    plain, parted = outputs
    with pytest.raises(UsageError, match="leave out `partition_by`, as before"):
        run(archive, plain)
    with pytest.raises(UsageError, match=r"give `partition_by='date,camera'` and `time_pattern="):
        run(archive, parted, partition_by="camera")


def samples(*keys: str, data: bytes | None = None) -> list[Sample]:
    return [Sample(key, key, data=data) for key in keys]


def cut(found: list[Sample], size: int, **options: Any) -> list[str]:
    source = Source("in", lambda: iter(found))
    chunks = OpenChunks(source, Partitions(("camera",)), **options)
    ready = [chunk for sample in found for chunk in chunks.add(sample, ChunkSize(size).now)]
    return [" ".join(chunk) for chunk in [*ready, *chunks.rest()]]


def test_cameras_that_alternate_fill_a_chunk_each() -> None:
    found = cut(samples("a/1", "b/1", "a/2", "b/2", "a/3"), 2)
    assert found == ["a/1 a/2", "b/1 b/2", "a/3"]


def test_open_chunks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    large = samples("a/1", "a/2", "b/1", "a/3", data=bytes(10_000))
    assert cut(large, 9, most_bytes=30_500) == ["a/1 a/2", "b/1", "a/3"], "the largest one"
    monkeypatch.setattr("segcli.pipeline.open_chunks._MOST_OPEN", 2)
    found = cut(samples("a/1", "b/1", "a/2", "c/1", "a/3"), 9)
    assert found == ["b/1", "c/1", "a/1 a/2 a/3"], "the one that has waited longest"


@pytest.mark.parametrize(
    ("names", "pattern", "by", "reason"),
    [
        (["gate/1.png"], None, "date", "no name in the source states a date, such as 'gate/1.png'"),
        (["27-11-2026.png"], None, "camera,date", "`time_pattern='%d-%m-%Y'` fits"),
        (["gate/20261127.png"], "_%Y%m%d", "date", r"'_%Y%m%d', no name .*`time_pattern='%Y%m%d'`"),
        (["gate/1.png"], "cam%(camera)_", "camera", "'cam%.camera._', no name .* states a camera"),
    ],
)
def test_names_that_state_nothing_are_refused(
    names: list[str], pattern: str | None, by: str, reason: str, tmp_path: Path
) -> None:
    source, out = Source("in", lambda: iter(samples(*names))), tmp_path / "m.parquet"
    options = PredictOptions(source="in", out=out, partition_by=by, time_pattern=pattern)
    with pytest.raises(UsageError, match=reason):
        check_partitions(options, source)
    (note,) = check_partitions(replace(options, shard="0/2"), source)
    assert "no name in the source" in note


def test_names_are_read_until_one_states_it(outputs: tuple[Path, Path]) -> None:
    def listing() -> Iterator[Sample]:
        yield from samples("undated.png", "gate/20261127.png")
        raise AssertionError("the rest is not read")

    options = PredictOptions(source="in", out=Path("new.parquet"), partition_by="date,camera")
    assert check_partitions(options, Source("in", listing)) == []
    odd = Source("in", lambda: iter(samples("undated.png")))
    assert check_partitions(replace(options, out=outputs[1]), odd) == [], "only for a new output"


def test_images_in_a_partition_without_a_value_are_counted(archive: Path, tmp_path: Path) -> None:
    summary = run(archive, tmp_path / "m.parquet")
    assert (summary.images, summary.unpartitioned) == (13, 1)
    assert unpartitioned_lines(summary)[0].endswith("does not state it: 1 of 13 images")
    assert unpartitioned_lines(replace(summary, unpartitioned=0)) == []
