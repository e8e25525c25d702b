"""Static images as the images that they repeat, in every reader."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

import segcli
from segcli.annotations.selection import select
from segcli.cli import app
from segcli.evaluate.predictions import read_rows as read_for_eval
from segcli.stats import StatsOptions, as_json, statistics
from segcli.store import MinScores, compact, read_rows, repeated, status
from segcli.store.copying import copy_rows
from segcli.store.directory import staging_path
from segcli.store.image_masks import ImageMasks, read_image_masks
from segcli.store.part_file import read_footer, read_part
from segcli.store.part_reader import part_paths
from segcli.store.place import Disk
from segcli.store.query import Rows
from segcli.store.verification import verify
from segcli.viz.select import Wanted, find

ALL = MinScores(0.0)


@pytest.fixture
def out(tmp_path: Path, record: Any, output: Any) -> Path:
    """Two parts: b and c repeat a, which has two masks; e repeats d, which has none; f failed; the
    row of what h repeats is gone."""

    def repeat(key: str, other: str) -> Any:
        return replace(record(key, 0), repeats=other)

    path = tmp_path / "m.parquet"
    with output("m.parquet") as opened:
        opened.commit([record("a", 2), repeat("b", "a"), repeat("c", "a")])
        bad = record("f", error="bad")
        opened.commit([record("d", 0), repeat("e", "d"), bad, record("g", 1)])
        opened.commit([repeat("h", "gone")])
    return path


EXPECTED = {"a": 2, "b": 2, "c": 2, "d": 0, "e": 0, "g": 1}
IGNORED = {"a": 2, "d": 0, "g": 1}


def masks(images: Any) -> dict[str, int]:
    found: list[ImageMasks] = list(images)
    assert len({image.key for image in found}) == len(found)
    return {image.key: len(image.masks) for image in found}


@pytest.mark.parametrize(("static", "expected"), [("repeat", EXPECTED), ("ignore", IGNORED)])
def test_readers_of_images(out: Path, static: Any, expected: dict[str, int]) -> None:
    assert masks(read_image_masks(out, min_score=ALL, static=static)) == expected
    with Rows(part_paths(out), static=static) as rows:
        assert masks(find(rows, Wanted(min_score=ALL))) == expected
        some = find(rows, Wanted(min_score=ALL, keys=("b", "e", "f")))
        assert masks(some) == {k: n for k, n in expected.items() if k in "be"}
    selection = select(out, min_score=0.0, static=static)
    assert [image.key for image in selection.images()] == list(masks(selection.with_masks()))
    assert masks(selection.with_masks()) == expected
    some = select(out, min_score=0.0, static=static, where_image="masks > 0")
    assert masks(some.with_masks()) == {k: n for k, n in expected.items() if n}


def test_evaluation(out: Path) -> None:
    rows = read_for_eval(out)
    assert dict(zip(rows.keys, rows.reasons, strict=True)) == {
        **dict.fromkeys("abcdeg"),
        "f": "bad",
        "h": "static, and the image that it repeats has no rows",
    }
    counts = [rows.keys[i] for i in rows.image.tolist()]
    assert {key: counts.count(key) for key in EXPECTED} == EXPECTED
    assert len(rows.masks or ()) == len(counts)
    rows = read_for_eval(out, static="ignore")
    assert sorted(rows.keys) == ["a", "d", "f", "g"]


def test_statistics(out: Path) -> None:
    found = statistics(StatsOptions(masks=out, min_score=0.0))
    run = found.run
    assert (run["done"], run["failed"], run["static"], run["static_left_out"]) == (6, 1, 4, 1)
    assert run["empty"] == 2
    assert sum(row["masks"] for row in found.classes) == 7
    assert {row["images"] for row in found.classes} == {6}
    run = statistics(StatsOptions(masks=out, min_score=0.0, static="ignore")).run
    assert (run["done"], run["failed"], run["static"], run["static_left_out"]) == (3, 1, 4, 4)
    assert json.loads(as_json(found, None))["run"]["static"] == 4


def test_the_api(out: Path) -> None:
    table = segcli.read(out)
    found = {row["key"]: row for row in table.images()}
    assert {key: row["status"] for key, row in found.items()} == {
        **dict.fromkeys("abcdeg", "ok"),
        "f": "failed",
        "h": "static",
    }
    assert {key: row["masks"] for key, row in found.items() if row["status"] == "ok"} == EXPECTED
    assert found["b"]["repeats"] == "a"
    assert len(table.masks().to_arrow()) == 7
    raw = segcli.read(out, static="ignore")
    assert len(raw.masks().to_arrow()) == 3
    assert {row["status"] for row in raw.images()} == {"ok", "failed", "static"}


def test_the_commands(out: Path, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        result = CliRunner().invoke(app, [*words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    counted = run("stats", str(out), "--min-score", "0")
    assert "4 images static: 3 count as the images that they repeat, 1 are left out" in counted
    ignored = run("stats", str(out), "--min-score", "0", "--static", "ignore")
    assert "4 images static, 4 are left out" in ignored
    assert "of which 1 failed and 4 are static" in run("status", str(out))
    for static, images in (("repeat", 6), ("ignore", 3)):
        options = ("--to", "coco", "--out", str(tmp_path / f"{static}.json"), "--min-score", "0")
        assert f"{images} images" in run("export", str(out), *options, "--static", static)


def test_a_static_image_has_the_masks_but_its_own_key_and_size(out: Path) -> None:
    columns = ["key", "mask", "score", "rle", "masks", "repeats"]
    batches = list(read_rows(out, columns=columns, static="repeat"))
    rows = pa.Table.from_batches(batches).to_pylist()
    of = {key: [row for row in rows if row["key"] == key] for key in "abc"}
    assert [row["mask"] for row in of["b"]] == [0, 1]
    for key in "bc":
        for own, other in zip(of[key], of["a"], strict=True):
            assert own | {"key": "a", "repeats": None} == other
    assert [row["key"] for row in rows if row["repeats"] is None] != []


def test_counts_and_checks(out: Path) -> None:
    assert status(out).static == 4
    assert sum(read_footer(part).static for part in part_paths(out)) == 4
    assert not [p for p in verify(out).problems if "status" in p.problem or "footer" in p.problem]
    before = masks(read_image_masks(out, min_score=ALL))
    compact(out, images=1000)
    assert len(part_paths(out)) == 1
    assert masks(read_image_masks(out, min_score=ALL)) == before
    assert status(out).static == 4


def repeat(record: Any, key: str, other: str, version: int = 1) -> Any:
    return replace(record(key, 0, version=version), repeats=other)


def stored(path: Path) -> dict[str, tuple[str, int | None, str | None]]:
    rows = segcli.read(path, static="ignore").images()
    return {row["key"]: (row["status"], row["masks"], row["repeats"]) for row in rows}


def unresolved(path: Path) -> list[str | None]:
    return [problem.key for problem in verify(path).problems if "repeats" in problem.problem]


@pytest.fixture
def stretch(output: Any, record: Any, tmp_path: Path) -> Path:
    """One part: b and c repeat a, which has two masks; x has one."""
    with output("s.parquet") as out:
        static = [repeat(record, key, "a") for key in "bc"]
        out.commit([record("a", 2), *static, record("x", 1)])
    return tmp_path / "s.parquet"


def test_masks_stay_when_the_repeated_image_is_processed_again(
    stretch: Path, output: Any, record: Any
) -> None:
    before = {key: row for row in segcli.read(stretch) if (key := row["key"]) in "bc"}
    with output("s.parquet") as out:
        out.replace([repeat(record, "a", "x", 2), record("x", 3, version=2)])
        assert (out.inventory.images, out.inventory.masks) == (4, 7)
    own = ("ok", 2, None)
    assert stored(stretch) == {"a": ("static", None, "x"), "b": own, "c": own, "x": ("ok", 3, None)}
    after = {
        key: row | {"repeats": "a"} for row in segcli.read(stretch) if (key := row["key"]) in "bc"
    }
    assert after == before
    assert unresolved(stretch) == []


def test_masks_stay_when_the_repeated_image_fails_or_is_redone_in_part(
    stretch: Path, output: Any, record: Any
) -> None:
    with output("s.parquet") as out:
        out.replace([record("a", error="bad", version=2), record("b", 1, version=2)])
    assert {k: row[:2] for k, row in stored(stretch).items()} == {
        "a": ("failed", None), "b": ("ok", 1), "c": ("ok", 2), "x": ("ok", 1),
    }  # fmt: skip


def test_masks_stay_when_the_repeated_image_is_removed(stretch: Path, output: Any) -> None:
    with output("s.parquet") as out:
        assert out.remove(part_paths(stretch)[0].name, ["a", "b"]) == 2
        assert out.inventory.masks == 3
    assert stored(stretch) == {"c": ("ok", 2, None), "x": ("ok", 1, None)}
    assert unresolved(stretch) == []


def test_masks_stay_when_another_part_has_the_repeated_image(
    stretch: Path, output: Any, record: Any, tmp_path: Path
) -> None:
    """As after two runs that wrote to a bucket at once."""
    with output("other.parquet") as out:
        part = out.commit([record("a", 1)])
    first = stretch / part_paths(stretch)[0].name
    part.rename(stretch / ("part-" + "0" * 32 + ".parquet"))
    with output("other.parquet") as out:
        writer = replace(out.writer, place=Disk(stretch, staging_path(stretch)))
        writer.remove_repeated()
    assert first.exists()
    assert masks(read_image_masks(stretch, min_score=ALL)) == {"a": 1, "b": 2, "c": 2, "x": 1}


def test_a_copy_has_the_masks_where_the_repeated_image_is_in_another_part(
    output: Any, record: Any, tmp_path: Path
) -> None:
    source, target = tmp_path / "masks.parquet", tmp_path / "copy.parquet"
    with output() as out:
        out.commit([record("a", 1)])
        out.commit([record("b", 1), record("c", 1)])
    copy_rows(source, target, Disk(target, staging_path(target)))
    compact(source, images=1000)
    with output() as out:
        out.replace([record("a", 2, version=2), *(repeat(record, k, "a", 2) for k in "bc")])
    copy_rows(source, target, Disk(target, staging_path(target)))
    assert masks(read_image_masks(target, min_score=ALL)) == {"a": 2, "b": 2, "c": 2}
    assert unresolved(target) == []


def test_columns_larger_than_a_chunk(stretch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow's text and binary columns end at 2 GiB, where a column needs another chunk."""
    (part,) = part_paths(stretch)
    rows = read_part(part)[0]
    whole = repeated.with_repeated(rows)
    assert whole["rle"].num_chunks == 1
    monkeypatch.setattr(repeated, "_CHUNK_BYTES", 10)
    some = repeated.with_repeated(rows)
    assert some["rle"].num_chunks == 7  # one for each of a, b and c's two masks, and x's
    assert some == whole
    assert some.schema == rows.schema


def test_an_image_that_has_lost_its_masks_is_processed_again(
    out: Path, output: Any, record: Any, sample: Any, tmp_path: Path
) -> None:
    assert unresolved(out) == ["h"]
    with output("m.parquet") as opened:
        assert {key: opened.state(sample(key)) for key in "abfgh"} == {
            "a": "done", "b": "done", "f": "failed", "g": "done", "h": "changed",
        }  # fmt: skip
    target = tmp_path / "copy.parquet"
    place = Disk(target, staging_path(target))
    copy_rows(out, target, place)
    before = [path.read_bytes() for path in part_paths(target)]
    copy_rows(out, target, place)
    assert [path.read_bytes() for path in part_paths(target)] == before
    with output("m.parquet") as opened:
        opened.replace([record("h", 3)])
        assert opened.state(sample("h")) == "done"
    copy_rows(out, target, place)
    for path in (out, target):
        assert unresolved(path) == []
        assert masks(read_image_masks(path, min_score=ALL)) == EXPECTED | {"h": 3}
