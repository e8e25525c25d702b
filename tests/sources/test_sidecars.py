"""WebDataset shards: the fields of key.json, key.txt and key.cls go with key.jpg."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from packing import write

from segcli.sources import Source, open_source
from segcli.sources.containers import Containers
from segcli.sources.sidecars import Sidecar, paired
from segcli.types import Member
from segcli.video.every import parse_every


def opened(path: Path, types: dict[str, Any] | None = None) -> Source:
    containers = Containers(columns=types)
    return open_source(str(path), every=parse_every("1s"), containers=containers)


def shard(path: Path, fields: list[Any]) -> Path:
    files: dict[str, bytes] = {}
    for number, value in enumerate(fields):
        files[f"s/{number:03}.jpg"] = b"x"
        files[f"s/{number:03}.json"] = json.dumps(value).encode()
    return write(path, files)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.zst"])
def test_fields_become_columns_of_one_type(kind: str, tmp_path: Path) -> None:
    fields = [
        {"site": "a", "lux": 1, "n": 5, "ok": True, "box": [1, 2], "mixed": 1, "none": None},
        {"site": "b", "lux": 0.5, "n": 6, "ok": False, "box": {"x": 1}, "mixed": "two"},
    ]
    source = opened(shard(tmp_path / f"a.{kind}", fields))
    text, real = pa.string(), pa.float64()
    assert source.carried == {
        "site": text, "lux": real, "n": pa.int64(), "ok": pa.bool_(), "box": text, "mixed": text,
        "none": text,
    }  # fmt: skip
    assert [dict(sample.carried) for sample in source] == [
        {"site": "a", "lux": 1.0, "n": 5, "ok": True, "box": "[1, 2]", "mixed": "1"},
        {"site": "b", "lux": 0.5, "n": 6, "ok": False, "box": '{"x": 1}', "mixed": "two"},
    ]
    assert source.containers.sidecars.unfit == set()


def test_texts_and_classes_before_and_behind_their_images(tmp_path: Path) -> None:
    files = {
        "a.cls": b"3", "a.jpg": b"x", "a.txt": b"a cat \xff\n", "b.seg.png": b"x", "b.jpg": b"x",
        "b.cls": b"7", "c.jpg": b"x", "v1.2/d.1.jpg": b"x", "v1.2/d.1.txt": b"one",
        "v1.2/d.2.txt": b"two", "v1.2/d.2.jpg": b"x",
    }  # fmt: skip
    samples = {s.key: dict(s.carried) for s in opened(write(tmp_path / "a.tar", files))}
    assert samples == {
        "a.tar/a.jpg": {"cls": 3, "txt": "a cat \ufffd"},
        "a.tar/b.seg.png": {"cls": 7},
        "a.tar/b.jpg": {"cls": 7},
        "a.tar/c.jpg": {},
        "a.tar/v1.2/d.1.jpg": {"txt": "one"},
        "a.tar/v1.2/d.2.jpg": {"txt": "two"},
    }


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    first = [{"n": 1, "ok": True}] * 200
    source = opened(
        shard(tmp_path / "a.tar", [*first, {"n": 2.5, "ok": 1, "new": 1}, {"n": 2**70}, [1], "x"])
    )
    *_, odd, large, whole, text = [dict(sample.carried) for sample in source]
    assert odd == large == whole == text == {}
    assert source.containers.sidecars.unfit == {"n", "ok", "new", "json"}


def test_columns_of_an_output_stay_what_they_are(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", [{"n": 1, "site": "a"}])
    source = opened(path, {"n": pa.float64(), "other": pa.string()})
    assert source.carried == {"n": pa.float64(), "other": pa.string()}
    assert [dict(sample.carried) for sample in source] == [{"n": 1.0}]
    assert source.containers.sidecars.unfit == {"site"}


def test_sidecars_that_cannot_be_read(tmp_path: Path) -> None:
    files = {
        "a.jpg": b"x", "a.json": b"{", "b.jpg": b"x", "b.json": b'{"s": "\\ud800", "\\udfff": 1}',
        "c.jpg": b"x", "c.json": b'{"s": "' + b"y" * (1 << 20) + b'"}', "notes.json": b"{}",
        "d.jpg": b"x", "d.json": b"[" * 100_000,
    }  # fmt: skip
    samples = [dict(s.carried) for s in opened(write(tmp_path / "a.tar", files))]
    assert samples == [{}, {"s": "\\ud800", "\\udfff": 1}, {}, {}]


def test_columns_are_looked_for_in_folders_and_not_in_zips(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/0.jpg").write_bytes(b"x")
    shard(tmp_path / "in/1.tar", [{"n": 1}])
    assert opened(tmp_path / "in").carried == {"n": pa.int64()}
    assert opened(shard(tmp_path / "a.zip", [{"n": 1}])).carried == {}


def test_few_members_wait_for_their_sidecars() -> None:
    """Names with dots in them can make one group of a whole archive."""
    asked = 0

    def members() -> Any:
        nonlocal asked
        for number in range(1000):
            asked += 1
            yield Member(f"2026.{number}.jpg", 2 * number, 1)
            yield Sidecar(f"2026.{number}.cls", str(number).encode())

    for number, (_, fields) in enumerate(paired(members())):
        assert fields == {"cls": number}
        assert asked <= number + 66


@pytest.mark.parametrize("text", ["--5", "-", "9" * 5000, "1_0", "\u0663"])
def test_a_class_that_is_no_number_is_text(text: str) -> None:
    assert Sidecar("a.cls", text.encode()).fields() == {"cls": text}
