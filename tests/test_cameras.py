"""The camera of an image: the same in Python and in SQL."""

import duckdb
import pytest

from segcli.cameras import camera_of, camera_sql

KEYS = {
    "gate/0800.jpg": "gate",
    "gate/0800.mp4#frame=125": "gate",
    "site/gate/2026-04-01/0800.jpg": "site/gate",
    "2026-04-01/gate/0800.jpg": "gate",
    "2026/04/01/yard/0800.mp4#frame=1": "yard",
    "yard/2026/04/01/08/00.mp4#frame=1": "yard",
    "yard/2026/2026-04-01/08.jpg": "yard",
    "yard/20260401_08/00.jpg": "yard",
    "gate/2026-04.tar/0800.jpg": "gate",
    "gate.zip/0800.jpg": "gate.zip",
    "cam1/0800.jpg": "cam1",
    "1/0800.jpg": "1",
    "2000s/a.jpg": "2000s",
    "0800.jpg": ".",
    "gate.jpg": ".",
    "gate.mp4#frame=0": "gate",
    "gate_20260401_0800.mp4#frame=0": "gate",
    "gate 2026-04-01 08h.mp4#frame=0": "gate",
    "20260401_0800.mp4#frame=7": ".",
    "2026-04-01/0800.mp4#frame=7": ".",
    "2026-04-01/cam2_0800.mp4#frame=7": "cam2_0800",
    "a/b.c/v1.2.mp4#frame=7": "a/b.c",
    "new\nline/0800.jpg": "new\nline",
    "new\nline_20260401\n0800.mp4#frame=7": "new\nline",
    "v1.2.mp4#frame=7": "v1.2",
    r"gate\#frame=1": ".",
}


@pytest.mark.parametrize("key", KEYS)
def test_camera_of_a_key(key: str) -> None:
    assert camera_of(key) == KEYS[key]


def test_a_stated_camera_takes_precedence() -> None:
    assert camera_of("gate/1.jpg", " yard ") == "yard"
    assert camera_of("gate/1.jpg", " ") == "gate"


def test_sql_agrees_with_python() -> None:
    rows = [(key, int(key.rpartition("=")[2]) if "#frame=" in key else None) for key in KEYS]
    rows[-1] = (rows[-1][0], None)
    with duckdb.connect() as database:
        database.execute("CREATE TABLE t (key VARCHAR, frame BIGINT, stated VARCHAR)")
        database.executemany("INSERT INTO t VALUES (?, ?, NULL)", rows)
        database.execute("INSERT INTO t VALUES ('gate/1.jpg', NULL, ' yard '), ('b/1', NULL, ' ')")
        found = database.execute(f"SELECT key, {camera_sql()} FROM t WHERE stated IS NULL")
        assert dict(found.fetchall()) == KEYS
        found = database.execute(f"SELECT {camera_sql('stated')} FROM t WHERE stated IS NOT NULL")
        assert found.fetchall() == [("yard",), ("b",)]
