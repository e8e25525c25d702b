"""Each library reads the directory itself as one table, in its most obvious call."""

import shutil
import warnings
from pathlib import Path

import pyarrow as pa
import pytest

from segcli.store import duckdb_note

# 3 masks and 1 image without any; 2 masks; images without any; failed images; 4 rows and more.
ROWS, MASKS, KEYS, FAILED = 9, 5, 7, 2


@pytest.fixture
def path(output, record):
    """Parts in which every error is null, every image is empty, every image failed."""
    carried = {"camera": pa.string(), "shot": pa.timestamp("us"), "note": pa.null()}
    with output(carried=carried) as out:
        out.commit([record("a", 2, camera="north"), record("b", 1), record("c", 0)])
        out.commit([record("d", 2)])
        out.commit([record("e", 0)])
        out.commit([record("f", error="truncated"), record("g", error="no image")])
        return out.path


def test_pyarrow(path):
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    assert table.num_rows == ROWS
    assert table["rle"].null_count == ROWS - MASKS


def test_pyarrow_dataset(path):
    import pyarrow.dataset as ds

    assert ds.dataset(path).count_rows(filter=ds.field("status") == "failed") == FAILED


def test_pandas(path):
    import pandas as pd

    table = pd.read_parquet(path)
    assert len(table) == ROWS
    assert table["category"].value_counts().to_dict() == {"person": 3, "car": 2}
    assert table["key"].nunique() == KEYS
    assert table["error"].notna().sum() == FAILED


def test_polars(path):
    import polars as pl

    table = pl.read_parquet(path)
    assert table.height == ROWS
    assert table["key"].n_unique() == KEYS
    assert table["mask"].count() == MASKS
    scanned = pl.scan_parquet(path).filter(pl.col("status") == "failed").collect()
    assert sorted(scanned["error"]) == ["no image", "truncated"]
    assert table.select(pl.col("bbox").struct.field("w").sum()).item() == 3 + 4 + 3 + 3 + 4


def test_duckdb(path, monkeypatch):
    import duckdb

    monkeypatch.chdir(path.parent)
    counted = duckdb.sql("SELECT category, count(*) FROM 'masks.parquet' GROUP BY 1 ORDER BY 1")
    assert counted.fetchall() == [("car", 2), ("person", 3), (None, 4)]
    one = duckdb.sql(
        "SELECT count(*), count(DISTINCT key), count(error), count(bbox.x), any_value(src_camera) "
        "FROM 'masks.parquet'"
    )
    assert one.fetchall() == [(ROWS, KEYS, FAILED, MASKS, "north")]


def test_duckdb_where_the_name_does_not_end_in_parquet(path, monkeypatch):
    import duckdb

    path.rename(path.with_name("masks"))
    monkeypatch.chdir(path.parent)
    assert duckdb_note(path) is None
    note = duckdb_note(Path("masks"))
    for source in ("'masks/*.parquet'", note[note.index("read_parquet") :]):
        assert duckdb.sql(f"SELECT count(*) FROM {source}").fetchall() == [(ROWS,)]
    with pytest.raises(duckdb.CatalogException):
        duckdb.sql("SELECT count(*) FROM 'masks'")


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    """Hugging Face datasets without network, with its cache in a temporary directory."""
    for name, value in {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_DATASETS_CACHE": str(tmp_path / "hf/datasets"),
    }.items():
        monkeypatch.setenv(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        import datasets
    datasets.disable_progress_bars()
    return datasets


@pytest.mark.slow
def test_hugging_face_datasets(path, datasets, tmp_path):
    table = datasets.load_dataset(str(path), cache_dir=str(tmp_path / "cache"))
    assert list(table) == ["train"]
    assert table["train"].num_rows == ROWS
    assert len({*table["train"]["key"]}) == KEYS
    assert sum(error is not None for error in table["train"]["error"]) == FAILED


def test_hugging_face_datasets_by_format(path, datasets, tmp_path):
    table = datasets.load_dataset(
        "parquet", data_dir=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert table.num_rows == ROWS
    assert table[0]["src_camera"] in ("north", None)


@pytest.mark.parametrize("folder", ["test", "val-2026", "a=1"])
def test_the_folders_above_mean_nothing_to_any_reader(path, datasets, tmp_path, folder):
    import pandas as pd
    import polars as pl

    (tmp_path / folder).mkdir()
    moved = path.rename(tmp_path / folder / "masks.parquet")
    columns = len(pd.read_parquet(moved).columns)
    assert pl.read_parquet(moved).width == columns == 27
    table = datasets.load_dataset(str(moved), cache_dir=str(tmp_path / "cache"))
    assert {name: part.num_rows for name, part in table.items()} == {"train": ROWS}


def test_partitions_whose_names_mean_something_to_a_reader(path, datasets, tmp_path):
    import polars as pl

    names, out = ("007", "7", "gate-test"), tmp_path / "parted.parquet"
    for name in names:
        shutil.copytree(path, out / f"camera={name}")
    cameras = pl.scan_parquet(out, hive_schema={"camera": pl.String}).select("camera").collect()
    assert sorted(cameras.unique()["camera"]) == sorted(names)
    files = {"data_files": f"{out}/**/*.parquet", "split": "train"}
    table = datasets.load_dataset("parquet", cache_dir=str(tmp_path / "cache"), **files)
    assert table.num_rows == len(names) * ROWS
