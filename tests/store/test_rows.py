"""SQL over parts."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segcli.errors import OutputError, UsageError
from segcli.store.query import Rows, literal, write_parquet


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Two parts in a folder whose name is full of wildcards."""
    folder = tmp_path / "a[1]*?'"
    folder.mkdir()
    for number in range(2):
        rows = {"key": [f"{number}a", f"{number}a", f"{number}b"], "mask": [0, 1, None]}
        pq.write_table(pa.table(rows), folder / f"part-{number}.parquet")
    return sorted(folder.iterdir())


@pytest.mark.slow
def test_rows_of_one_image_share_a_number(parts):
    with Rows(parts) as rows:
        found = rows.tuples("SELECT key, image, part FROM rows ORDER BY part, key, mask")
    assert found == [
        ("0a", 0, 0),
        ("0a", 0, 0),
        ("0b", 2, 0),
        ("1a", 1 << 32, 1),
        ("1a", 1 << 32, 1),
        ("1b", (1 << 32) + 2, 1),
    ]


def test_the_columns_are_those_of_the_parts(parts):
    with Rows(parts) as rows:
        assert rows.columns == ["key", "mask"]


def test_a_part_keeps_its_order_in_a_stream(parts):
    with Rows(parts) as rows:
        streamed = [row["key"] for row in rows.stream(f"SELECT key FROM {rows.part(1)}")]
    assert streamed == ["1a", "1a", "1b"]


def test_a_condition_of_another_type_is_explained(parts):
    with Rows(parts) as rows:
        rows.check("mask > 0 -- a comment", "--where")
        with pytest.raises(UsageError, match="--where 'kee = 1' is not a condition"):
            rows.check("kee = 1", "--where")
        for text, kind in (("mask", "BIGINT"), ("key", "VARCHAR"), ("mask, 1", "TUPLE")):
            with pytest.raises(UsageError, match=f"it is a {kind}.*, not true or false"):
                rows.check(text, "--where")
        with pytest.raises(UsageError, match="is not a condition"):
            rows.check("", "--where")


def test_a_damaged_part_is_a_usage_error(parts):
    parts[0].write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UsageError, match="cannot be read"):
        Rows(parts).tuples("SELECT * FROM rows")


def test_text_is_quoted():
    assert literal("it's") == "'it''s'"


def test_small_tables_become_parquet(tmp_path):
    write_parquet([{"a": 1, "b": "x'"}, {"a": 2, "b": None}], tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").to_pylist() == [
        {"a": 1, "b": "x'"},
        {"a": 2, "b": None},
    ]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*t\.parquet: "):
        write_parquet([{"a": 1}], tmp_path / "file/t.parquet")
    with pytest.raises(OutputError, match="cannot write /dev/full: "):
        write_parquet([{"a": 1}], Path("/dev/full"))
