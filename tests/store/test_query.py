"""SQL over an output."""

import duckdb
import pytest

from segcli.errors import UsageError
from segcli.store.query import Rows


def test_a_part_that_cannot_be_read_leaves_no_connection_open(tmp_path, monkeypatch):
    (tmp_path / "part.parquet").write_bytes(b"no parquet")
    made = []
    connect = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda **more: made.append(connect(**more)) or made[-1])
    with pytest.raises(UsageError, match="the parts cannot be read"):
        Rows([tmp_path / "part.parquet"])
    with pytest.raises(duckdb.ConnectionException, match="closed"):
        made[0].execute("SELECT 1")
