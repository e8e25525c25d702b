"""`segcli.read(out)`: a lazy table."""

from pathlib import Path

import numpy as np
import pytest

import segcli
from segcli.errors import UsageError
from segcli.masks.rle import encode
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Two masks with scores 0.9 and 0.3, an empty image, a failed one."""
    rle = encode(np.ones((2, 2), dtype=bool))
    good, poor = (Segment(0, score, (0.0, 0.0, 2.0, 2.0), 4, rle) for score in (0.9, 0.3))
    path = tmp_path / "masks.parquet"
    settings = Settings({"source_root": "/archive"}, {"default_score": 0.62})
    with open_output(path, settings, carried={}, categories=(("person",), (1,))) as output:
        output.commit(
            [
                Record(Sample("a.jpg", "a.jpg"), 2, 2, [good, poor]),
                Record(Sample("b.jpg", "b.jpg"), 2, 2),
                Record(Sample("c.jpg", "c.jpg"), None, None, error="truncated"),
            ]
        )
    return path


def test_images_have_a_row_each(out: Path) -> None:
    images = segcli.read(out).images()
    assert [row["key"] for row in images] == ["a.jpg", "b.jpg", "c.jpg"]
    assert "rle" not in images.columns


def test_masks_by_score(out: Path) -> None:
    table = segcli.read(out)
    assert table.masks().to_arrow()["score"].to_pylist() == [0.9, 0.3]
    assert table.masks(0.2).to_arrow().num_rows == 2
    assert table.masks("default").to_pandas()["score"].tolist() == [0.9]


def test_the_table_is_that_of_the_parts(out: Path) -> None:
    import pyarrow.parquet as pq

    whole = pq.read_table(out)
    assert segcli.read(out).columns == whole.column_names
    assert segcli.read(out).to_arrow().to_pylist() == whole.to_pylist()


def test_sql(out: Path) -> None:
    counted = segcli.read(out).sql("SELECT category, count(*) AS n FROM shown GROUP BY 1")
    assert list(counted) == [{"category": "person", "n": 1}]
    assert counted.columns == ["category", "n"]


def test_it_is_lazy(out: Path) -> None:
    table = segcli.read(out).images()
    for part in out.iterdir():
        part.unlink()
    with pytest.raises(UsageError, match="is empty"):
        table.to_arrow()


@pytest.mark.parametrize("query", ["SELEC", "SELECT nothing FROM masks", ""])
def test_a_wrong_query_says_what_is_wrong(out: Path, query: str) -> None:
    for read in (list, segcli.Table.to_arrow):
        with pytest.raises(UsageError, match="cannot be answered|is not a query"):
            read(segcli.read(out).sql(query))


def test_no_output(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        segcli.read(tmp_path / "none")
