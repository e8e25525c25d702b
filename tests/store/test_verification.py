"""`segcli verify` finds each kind of damage, and `--repair` moves broken parts aside."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from segcli.cli import app
from segcli.errors import ExitCode, Locked, UsageError
from segcli.masks import rle
from segcli.store import part_file, read_images
from segcli.store.part_check import Problem
from segcli.store.part_file import read_footer, read_part, write_part
from segcli.store.verification import verify
from segcli.types import Record, Segment


@pytest.fixture
def image(record):
    """A record of 48 x 64 px with real run lengths."""

    def made(key: str, masks: int = 2, **more) -> Record:
        inside = np.zeros((48, 64), bool)
        inside[4:20, 8:30] = True
        one = Segment(0, 0.9, (8.0, 4.0, 22.0, 16.0), 352, rle.encode(inside))
        return replace(record(key, 0, **more), segments=[one] * masks)

    return made


@pytest.fixture
def masks(output, image, record, tmp_path) -> Path:
    """Two parts with four images, one of them failed, and seven masks."""
    with output() as out:
        out.commit([image("a", 3), image("b", 0), record("c", error="bad")])
        out.commit([image("d", 4)])
    return tmp_path / "masks.parquet"


def part_with(masks: Path, key: str) -> Path:
    return next(p for p in masks.iterdir() if key in read_part(p)[0]["key"].to_pylist())


def changed(part: Path, column: str, row: int, value: object) -> None:
    """Write a part again, with one other value."""
    rows, footer = read_part(part)
    values = rows[column].to_pylist()
    values[row] = value
    at = rows.column_names.index(column)
    kind = rows.schema.field(column)
    write_part(part, rows.set_column(at, kind, pa.array(values, kind.type)), footer)


def only(path: Path) -> Problem:
    (problem,) = verify(path).problems
    return problem


def test_an_intact_output(masks: Path) -> None:
    found = verify(masks)
    assert (found.parts, found.images, found.failed, found.masks) == (2, 4, 1, 7)
    assert found.is_intact
    assert found.problems == []
    assert verify(masks, repair=True).moved == []
    told = CliRunner().invoke(app, ["verify", str(masks)])
    assert (told.exit_code, told.output) == (
        0,
        f"2 parts, 4 images (1 failed), 7 masks read: {masks}\n"
        "settings, rows, counts, run lengths and keys are in order\n",
    )


def test_an_image_over_several_batches(masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segcli.store.part_check._BATCH_ROWS", 2)
    assert verify(masks).is_intact


def test_a_truncated_part(masks: Path) -> None:
    part = part_with(masks, "a")
    os.truncate(part, part.stat().st_size - 9)
    assert only(masks).part == part.name
    assert "damaged or only partly copied" in only(masks).problem


def test_a_damaged_name_of_a_column(masks: Path) -> None:
    part = part_with(masks, "a")
    part.write_bytes(part.read_bytes().replace(b"mask_score", b"\xffask_score"))
    assert only(masks).part == part.name
    assert "damaged or only partly copied" in only(masks).problem
    assert verify(masks, repair=True).moved == [part.name]


def test_any_flipped_byte_of_a_page_is_found(masks: Path) -> None:
    """Also where the page can still be decoded: pages have checksums."""
    part = part_with(masks, "d")
    data = part.read_bytes()
    with part_file.open_part(part) as (file, _):
        group = file.metadata.row_group(0)
        columns = [group.column(i) for i in range(group.num_columns)]
    for column in columns[::4]:
        start = column.dictionary_page_offset or column.data_page_offset
        last = start + column.total_compressed_size - 1
        part.write_bytes(data[:last] + bytes([data[last] ^ 1]) + data[last + 1 :])
        assert only(masks).part == part.name
    part.write_bytes(data)
    assert verify(masks).is_intact


def test_a_part_of_other_settings(masks: Path, output, image, settings, tmp_path: Path) -> None:
    with output("other.parquet", settings=settings(min_score=0.5)) as out:
        other = out.commit([image("e")])
    shutil.copy(other, masks)
    problem = only(masks)
    assert problem.part == other.name
    text = "it was made with other settings: `min_score`: 0.5 here, 0.05 in the other parts"
    assert problem.problem == text


def test_run_lengths_that_do_not_fill_the_image(masks: Path) -> None:
    part = part_with(masks, "d")
    changed(part, "rle", 2, rle.encode(np.ones((40, 64), bool)))
    problem = only(masks)
    assert (problem.part, problem.key) == (part.name, "d")
    assert "mask 2: the runs of a mask sum to 2560 px, but its size 48 x 64 has 3072" in (
        problem.problem
    )


@pytest.mark.parametrize(
    ("column", "row", "value", "text"),
    [
        ("area", 1, 351, "mask 1: its area is 351 px, its run lengths have 352"),
        ("rle", 0, None, "mask 0: the mask of 48 x 64 px has no run lengths"),
        ("mask", 2, 3, "mask 3 does not follow mask 2"),
        ("key", 3, "e", "mask 3 does not follow mask 2"),
        ("masks", 0, 5, "the image has 4 rows of masks, and its column `masks` has 5"),
        ("status", 0, "failed", "its status is 'failed', its column `masks` 4"),
    ],
)
def test_a_wrong_value(masks: Path, column: str, row: int, value: object, text: str) -> None:
    part = part_with(masks, "d")
    changed(part, column, row, value)
    found = verify(masks).problems
    assert text in found[0].problem
    assert {problem.part for problem in found} == {part.name}


def test_counts_of_the_footer(masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = part_with(masks, "a")
    rows, footer = read_part(part)
    with monkeypatch.context() as patch:
        patch.setattr(part_file, "_counted", lambda footer, _: replace(footer, masks=7, failed=0))
        write_part(part, rows, footer)
    assert [problem.problem for problem in verify(masks).problems] == [
        "its footer has 0 failed images, its rows 1",
        "its footer has 7 masks, its rows 3",
    ]


def test_an_image_in_two_parts(masks: Path, output, image, tmp_path: Path) -> None:
    with output("other.parquet") as out:
        other = out.commit([image("d"), image("e")])
    shutil.copy(other, masks)
    first, second = sorted(p.name for p in masks.iterdir() if read_footer(p).masks == 4)
    problem = only(masks)
    assert (problem.part, problem.key) == (second, "d")
    assert problem.problem == f"the image is also in {first}"
    assert verify(masks, repair=True).moved == [second]
    assert verify(masks).is_intact


def test_an_image_twice_in_a_part(masks: Path) -> None:
    part = part_with(masks, "d")
    rows, footer = read_part(part)
    write_part(part, pa.concat_tables([rows, rows]), footer)
    assert only(masks) == Problem(part.name, "d", "the image is in this part twice")


def test_many_problems_are_counted(masks: Path, output, image) -> None:
    with output() as out:
        part = out.commit([image("many", 30)])
    rows, footer = read_part(part)
    at = rows.column_names.index("area")
    write_part(part, rows.set_column(at, "area", pa.array([1] * 30, pa.int64())), footer)
    found = verify(masks).problems
    assert (len(found), found[-1].problem) == (11, "and 20 more")


def test_foreign_files_and_folders(masks: Path, tmp_path: Path) -> None:
    (masks / "notes.txt").write_text("x")
    assert "notes.txt" in only(masks).problem
    assert verify(masks).parts == 2
    with pytest.raises(UsageError, match=r"notes\.txt"):
        verify(masks, repair=True)
    for path in (masks / "notes.txt", tmp_path / "none"):
        with pytest.raises(UsageError, match="expected the output"):
            verify(path)


def test_an_empty_output(tmp_path: Path) -> None:
    (tmp_path / "empty.parquet").mkdir()
    for repair in (False, True):
        found = verify(tmp_path / "empty.parquet", repair=repair)
        assert (found.parts, found.is_intact) == (0, True)


def test_while_a_run_holds_the_lock(masks: Path, output) -> None:
    with output():
        assert verify(masks).is_intact
        with pytest.raises(Locked) as error:
            verify(masks, repair=True)
    assert error.value.exit_code == ExitCode.LOCKED


def test_a_part_without_permission_stays(masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = part_with(masks, "a")
    opened = part_file._opened

    def denied(path: Path, whole: bool):
        if path.name == part.name:
            raise PermissionError(13, "Permission denied")
        return opened(path, whole)

    monkeypatch.setattr(part_file, "_opened", denied)
    found = verify(masks, repair=True)
    assert (found.moved, found.is_intact) == ([], False)
    assert "Permission denied" in found.problems[0].problem


def test_a_part_that_another_process_replaces(masks: Path, monkeypatch) -> None:
    gone = part_with(masks, "a")
    monkeypatch.setattr("segcli.store.verification.list_parts", lambda _: sorted(os.listdir(masks)))
    listed = sorted(os.listdir(masks))
    gone.unlink()
    monkeypatch.setattr("segcli.store.verification.list_parts", lambda _: listed)
    found = verify(masks)
    assert (found.parts, found.removed, found.is_intact) == (1, 1, True)


def test_a_repaired_output_is_continued(masks: Path, output, image, record, sample) -> None:
    part = part_with(masks, "a")
    part.write_bytes(part.read_bytes()[:-20])
    broken = part.read_bytes()
    told = CliRunner().invoke(app, ["verify", str(masks), "--json"])
    assert told.exit_code == ExitCode.USAGE
    assert json.loads(told.output)["problems"][0]["part"] == part.name

    told = CliRunner().invoke(app, ["verify", str(masks), "--repair"])
    assert told.exit_code == 0
    aside = masks.with_name("masks.parquet.broken")
    assert f"1 broken part moved to {aside}" in told.output
    assert (aside / part.name).read_bytes() == broken
    with output() as out:
        assert [out.state(sample(key)) for key in "abcd"] == ["new", "new", "new", "done"]
        out.commit([image("a", 3), image("b", 0), record("c", error="bad")])
    assert verify(masks).is_intact

    os.truncate(part, 50)  # a second time: nothing in the folder is overwritten
    verify(masks, repair=True)
    assert sorted(p.name for p in aside.iterdir()) == [part.name, f"{part.name}.2"]
    assert [b["key"].to_pylist() for b in read_images(masks)] == [["d"]]
