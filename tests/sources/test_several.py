"""What the keys of several sources are, and which sources cannot stand in one run."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segcli.errors import UsageError
from segcli.sources.several import open_sources


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders a, b and x/a with an image each, a list, two images by themselves; empty/."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/1.jpg", "b/1.jpg", "x/a/1.jpg", "2.jpg", "3.jpg", "empty/readme"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\xd8")
    (tmp_path / "list.txt").write_text("a/1.jpg\n")
    return tmp_path


def keys(*locations: str, key_prefix: str = "") -> list[str]:
    return [sample.key for sample in open_sources(locations, key_prefix=key_prefix)]


@pytest.mark.parametrize(
    ("locations", "expected"),
    [
        (["a"], ["1.jpg"]),
        (["cam1=a"], ["cam1/1.jpg"]),
        (["a", "b"], ["a/1.jpg", "b/1.jpg"]),
        (["./a/", "b/"], ["a/1.jpg", "b/1.jpg"]),
        (["a", "list.txt", "2.jpg"], ["a/1.jpg", "list.txt/a/1.jpg", "2.jpg"]),
        (["3.jpg", "2.jpg"], ["3.jpg", "2.jpg"]),
        (["a/1.jpg", "b/1.jpg"], ["a/1.jpg", "b/1.jpg"]),
        (["a", "a/1.jpg"], ["a/1.jpg", "a/1.jpg"]),  # counted as repeated
        (["a", "y=x/a"], ["a/1.jpg", "y/1.jpg"]),
        (["site/y=a", "y=2.jpg"], ["site/y/1.jpg", "y/2.jpg"]),
    ],
)
def test_keys(places: Path, locations: list[str], expected: list[str]) -> None:
    assert keys(*locations) == expected


def test_a_prefix_comes_before_the_names(places: Path) -> None:
    source = open_sources(["a", "y=b"], key_prefix="p")
    assert [sample.key for sample in source] == ["p/a/1.jpg", "p/y/1.jpg"]
    assert source.roots == {
        "p/a/": os.path.realpath(places / "a"),
        "p/y/": os.path.realpath(places / "b"),
    }


def test_a_path_with_an_equals_sign_is_a_path(places: Path) -> None:
    (places / "y=2026").mkdir()
    (places / "y=2026/4.jpg").write_bytes(b"\xff\xd8")
    assert keys("y=2026", "a") == ["y=2026/4.jpg", "a/1.jpg"]


@pytest.mark.parametrize(
    ("locations", "reason"),
    [
        ([], "no source was given"),
        (["a", "x/a"], "'a' and 'x/a' would both begin with 'a/'; give one.*NAME=x/a"),
        (["c=a", "c=b"], "would both begin with 'c/'"),
        (["c=a", "c/d=b"], "would both begin with 'c/'"),
        (["2.jpg=a", "2.jpg"], "would both begin with '2.jpg/'"),
        (["a", "/"], "'/' has no name"),
        (["../c=a"], "cannot be a name in keys"),
        (["a", "nowhere"], "no such file or folder"),
        (["empty", "e=empty"], "no image in the folder 'empty'"),
    ],
)
def test_refused(places: Path, locations: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        keys(*locations)


def test_names_that_keys_would_escape(places: Path) -> None:
    os.mkdir(os.fsencode(places) + b"/caf\xe9")
    with pytest.raises(UsageError, match="that keys escape; give another: NAME=PATH"):
        keys("a", os.fsdecode(os.fsencode(places) + b"/caf\xe9"))


def test_a_source_without_images_among_others_is_noted(places: Path) -> None:
    source = open_sources(["a", "empty"])
    assert [sample.key for sample in source] == ["a/1.jpg"]
    assert len(source.notes) == 1
    assert source.notes[0].startswith("no image in the folder 'empty'")


def test_shards_take_their_own_of_each(places: Path) -> None:
    source = open_sources(["a", "b"])
    assert [s.key for s in source.only(lambda key: key.startswith("b"))] == ["b/1.jpg"]


def test_columns_of_manifests_are_joined(places: Path) -> None:
    pq.write_table(pa.table({"path": ["a/1.jpg"], "site": ["n"]}), "m.parquet")
    pq.write_table(pa.table({"file": ["b/1.jpg"], "lux": [3.5]}), "n.parquet")
    source = open_sources(["m.parquet", "a", "n.parquet"])
    assert source.carried == {"site": pa.string(), "lux": pa.float64()}
    assert [dict(s.carried) for s in source] == [{"site": "n"}, {}, {"lux": 3.5}]
    pq.write_table(pa.table({"path": ["b/1.jpg"], "lux": ["dim"]}), "o.parquet")
    with pytest.raises(UsageError, match="column 'lux' is double in one.*string in"):
        open_sources(["n.parquet", "o.parquet"])


def test_a_column_is_that_of_the_manifests(places: Path) -> None:
    pq.write_table(pa.table({"where": ["a/1.jpg"]}), "m.parquet")
    source = open_sources(["b", "m.parquet"], column="where")
    assert [s.key for s in source] == ["b/1.jpg", "m.parquet/a/1.jpg"]
    with pytest.raises(UsageError, match="none of the sources is a Parquet manifest"):
        open_sources(["a", "b"], column="where")


def test_messages_hide_passwords_and_signatures() -> None:
    secret = "https://user:hunter2@host.example/a/x.jpg?X-Amz-Signature=abc"
    with pytest.raises(UsageError) as refused:
        open_sources([f"cam={secret}", "cam=https://host.example/b/y.jpg"])
    assert "host.example/a/x.jpg" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "abc" not in str(refused.value)
