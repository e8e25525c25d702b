"""Parquet manifests: the column, the keys, what rides along."""

import datetime
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segcli.errors import ImageError, UsageError
from segcli.sources import Source, open_source, read


def write(folder: Path, table: dict | pa.Table, **options) -> str:
    path = folder / "m.parquet"
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path, **options)
    return str(path)


@pytest.mark.slow
def test_column_of_paths_and_riding_columns(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"A")
    manifest = write(tmp_path, {"file": ["a.jpg", "gone.jpg", None], "site": [7, 8, 9]})
    source = open_source(manifest)
    a, gone, none = source
    assert (a.key, read(a), a.carried, a.size_bytes) == ("a.jpg", b"A", {"site": 7}, 1)
    assert source.carried == {"site": pa.int64()}
    assert none.key == "row-000000002"
    for sample, reason in ((gone, "no such file"), (none, "no path")):
        with pytest.raises(ImageError, match=reason):
            read(sample)


def test_column_of_bytes_takes_its_keys_from_names(tmp_path: Path) -> None:
    manifest = write(tmp_path, {"path": ["x#1.jpg", None], "image": [b"one", b"two"], "n": [1, 2]})
    first, second = open_source(manifest)
    assert (first.key, read(first), first.size_bytes) == ("x#1.jpg", b"one", 3)
    assert (second.key, read(second), second.carried) == ("row-000000001", b"two", {"n": 2})


def test_bytes_without_names_are_numbered(tmp_path: Path) -> None:
    samples = list(open_source(write(tmp_path, {"pic": [b"x", None]}), column="pic"))
    assert [s.key for s in samples] == ["row-000000000", "row-000000001"]
    assert [read(s) for s in samples] == [b"x", b""]


def test_hugging_face_image_column(tmp_path: Path) -> None:
    (tmp_path / "c.jpg").write_bytes(b"on disk")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": b"in row", "path": "b.jpg"}, {"bytes": None, "path": "c.jpg"}, None]
    table = pa.table({"image": pa.array(rows, kind), "label": [1, 2, 3]})
    first, second, third = open_source(write(tmp_path, table))
    assert (first.key, read(first)) == ("b.jpg", b"in row")
    assert (second.key, read(second)) == ("c.jpg", b"on disk")
    assert (third.key, read(third)) == ("row-000000002", b"")


def test_values_and_types_fit_together(tmp_path: Path) -> None:
    day = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    columns = {
        "path": pa.array(["a", "b"]),
        "when": pa.array([day, None], pa.timestamp("ns", "UTC")),
        "date": pa.array([day.date(), None]),
        "flag": pa.array([True, None]),
        "site": pa.array(["x", "x"]).dictionary_encode(),
        "ratio": pa.array([0.5, None]),
    }
    source = open_source(write(tmp_path, columns))
    assert source.carried["site"] == pa.string()
    samples = list(source)
    for name, kind in source.carried.items():
        expected = columns[name].dictionary_decode() if name == "site" else columns[name]
        assert pa.array([s.carried[name] for s in samples], kind) == expected


def test_what_cannot_ride_is_said(tmp_path: Path) -> None:
    columns = {"path": ["a"], "tags": [["x"]], "thumb": [b"x"], "ok": [1]}
    source = open_source(write(tmp_path, columns), column="path")
    assert list(source.carried) == ["ok"]
    assert [note.split(" ")[1] for note in source.notes] == ["'tags'", "'thumb'"]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ("imge", "no column 'imge'; it has img .*did you mean 'img'"),
        ("number", "column 'number' .* is int64; expected paths"),
        (None, "choose one with `column`"),
    ],
)
def test_column_that_will_not_do(tmp_path: Path, column: str | None, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        open_source(write(tmp_path, {"img": ["a"], "number": [1]}), column=column)


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["path", "path"])
    with pytest.raises(UsageError, match="several columns named 'path'"):
        open_source(write(tmp_path, table))


def test_no_row(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no row"):
        open_source(write(tmp_path, {"path": pa.array([], pa.string())}))


@pytest.mark.parametrize("damage", ["no parquet", "cut", "empty"])
def test_damaged_file(tmp_path: Path, damage: str) -> None:
    manifest = Path(write(tmp_path, {"path": ["a"] * 100}))
    whole = manifest.read_bytes()
    manifest.write_bytes({"no parquet": b"text", "cut": whole[:-20], "empty": b""}[damage])
    with pytest.raises(UsageError, match="not a readable Parquet file"):
        open_source(str(manifest))


def test_damaged_pages_are_an_error_too(tmp_path: Path) -> None:
    manifest = Path(write(tmp_path, {"path": [f"{i}.jpg" for i in range(9999)]}))
    content = bytearray(manifest.read_bytes())
    content[4:200] = b"\xff" * 196
    manifest.write_bytes(content)
    with pytest.raises(UsageError, match=r"m\.parquet"):
        list(open_source(str(manifest)))


def test_memory_is_a_few_rows_of_one_large_row_group(tmp_path: Path) -> None:
    rows, size = 300, 200_000
    data = [number.to_bytes(4, "big") * (size // 4) for number in range(rows)]
    manifest = write(tmp_path, {"image": data}, use_dictionary=False, write_batch_size=5)
    del data
    before = pa.total_allocated_bytes()
    peak = 0
    tracemalloc.start()
    try:
        for _ in open_source(manifest):
            peak = max(peak, pa.total_allocated_bytes() - before)
        peak += tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < rows * size / 4


def peek(location: Path, **options) -> Source:
    return open_source(str(location), **options)


def test_manifest_is_known_by_content(tmp_path: Path) -> None:
    renamed = Path(write(tmp_path, {"path": ["a"]})).rename(tmp_path / "m.data")
    assert [s.key for s in peek(renamed)] == ["a"]
