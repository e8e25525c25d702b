"""Images whose files are gone: counted, and removed only on request and only when that is sure."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_data import keys, picture, rows

from segcli.cli.progress import summary_text
from segcli.errors import UsageError
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Event, Note, Summary
from segcli.store.part_file import read_footer


def run(source: Path, out: Path, told: list[Event] | None = None, **options: Any) -> Summary:
    given = {"model": "toy", "device": "cpu", "precision": "float32", "replicas": 0} | options
    wanted = PredictOptions(source=str(source), out=out, chunk_size=2, **given)
    return predict(wanted, report=(told if told is not None else []).append)


@pytest.fixture
def done(pictures: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """A folder of five pictures, 0 to 4, and their output of three parts: 01, 23, 4."""
    folder, out = pictures(5), tmp_path / "m.parquet"
    assert run(folder, out).missing == 0
    return folder, out


def test_missing_files_are_counted_and_their_rows_removed_on_request(
    done: tuple[Path, Path], pictures: Callable[..., Path]
) -> None:
    folder, out = done
    before = rows(out)
    for number in (1, 4):
        (folder / f"000{number}.png").unlink()
    shutil.copy(folder / "0000.png", folder / "0005.png")
    first = run(folder, out)
    assert (first.images, first.missing, first.pruned) == (1, 2, 0)
    assert "rows of 2 images whose files are gone (remove them: --prune-missing)" in summary_text(
        first
    )
    assert run(folder, out, dry_run=True, prune_missing=True).missing == 2
    assert set(before) < set(rows(out))
    second = run(folder, out, prune_missing=True)
    assert (second.images, second.missing, second.pruned) == (0, 0, 2)
    assert "removed the rows of 2 images" in summary_text(second)
    assert keys(out) == ["0000.png", "0002.png", "0003.png", "0005.png"]
    assert {row for row in before if row[0] in keys(out)} <= set(rows(out))
    assert sum(read_footer(part).images for part in out.iterdir()) == 4
    assert len([*out.iterdir()]) == 3  # the part of 4 alone is gone
    again = run(pictures(5), out, prune_missing=True)  # the files are there again
    assert (again.images, again.missing) == (2, 0)
    assert keys(out) == [f"000{i}.png" for i in range(6)]


def test_a_part_of_the_source_says_nothing_about_the_rest(
    done: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, out = done
    (folder / "0001.png").unlink()
    limits: list[dict[str, Any]] = [
        {"limit": 1},
        {"include": ("000*",)},
        {"exclude": ("x*",)},
        {"older_than": "0s"},
    ]
    for limited in limits:
        assert run(folder, out, **limited).missing is None
        with pytest.raises(UsageError, match="`prune_missing` needs a run over the whole source"):
            run(folder, out, prune_missing=True, **limited)
    (tmp_path / "list.txt").write_text(f"{folder}/0000.png")
    with pytest.raises(UsageError, match="`prune_missing` needs a folder"):
        run(tmp_path / "list.txt", out, prune_missing=True)
    with pytest.raises(UsageError, match="`prune_missing` needs a folder"):
        run(folder / "0000.png", out, prune_missing=True)


def test_nothing_is_removed_when_a_folder_cannot_be_listed(
    pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = pictures(2), tmp_path / "m.parquet"
    shutil.copytree(pictures(2, name="other"), folder / "sub")
    run(folder, out)
    (folder / "0001.png").unlink()
    shutil.move(folder / "sub", tmp_path / "away")  # a disk that is gone
    (folder / "sub").mkdir()
    scandir = os.scandir

    def broken(path: Any) -> Any:
        if isinstance(path, bytes) and path.endswith(b"sub/"):
            raise OSError(5, "Input/output error")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", broken)
    shutil.copy(folder / "0000.png", folder / "0002.png")
    told: list[Event] = []
    summary = run(folder, out, told, prune_missing=True)
    assert (summary.missing, summary.pruned) == (None, 0)
    (note,) = (event.message for event in told if isinstance(event, Note))
    assert note.startswith("1 folder could not be listed, such as 'sub/'")
    assert {"0001.png", "sub/0000.png", "sub/0001.png"} <= {*keys(out)}


def test_rows_of_other_sources_stay(pictures: Callable[..., Path], tmp_path: Path) -> None:
    first, second, out = pictures(2, name="a"), pictures(2, name="b"), tmp_path / "m.parquet"
    run(first, out, key_prefix="a")
    run(second, out, key_prefix="b")
    (first / "0001.png").unlink()
    (second / "0001.png").unlink()
    assert run(second, out, key_prefix="b", prune_missing=True).pruned == 1
    assert keys(out) == ["a/0000.png", "a/0001.png", "b/0000.png"]
    # Another folder of one output: its images are where they were.
    third = pictures(3, name="c")
    (third / "0002.png").rename(third / "0009.png")
    merged = run(third, out, key_prefix="b", same_source=True, prune_missing=True)
    assert merged.pruned == 0
    moved = tmp_path / "elsewhere"
    second.rename(moved)
    (moved / "0000.png").rename(moved / "0000.jpg")
    assert run(moved, out, key_prefix="b", same_source=True, prune_missing=True).missing == 0


def test_what_is_listed_otherwise_is_not_missing(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out = pictures(1), tmp_path / "m.parquet"
    (folder / "@eaDir").mkdir()
    shutil.copy(folder / "0000.png", folder / "@eaDir/b.png")
    shutil.make_archive(str(folder / "old"), "zip", pictures(2, name="zipped"))
    assert run(folder, out, all_folders=True).images == 4
    shutil.make_archive(str(folder / "old"), "zip", pictures(1, name="fewer"))
    assert run(folder, out, prune_missing=True).missing == 0
    (folder / "old.zip").unlink()
    assert run(folder, out, prune_missing=True).pruned == 2
    assert keys(out) == ["0000.png", "@eaDir/b.png"]


def test_a_shard_removes_its_own_rows(done: tuple[Path, Path], tmp_path: Path) -> None:
    folder, out = done
    for number in (0, 1, 2, 3):
        (folder / f"000{number}.png").unlink()
    removed = [run(folder, out, shard=f"{i}/2", prune_missing=True).pruned for i in range(2)]
    assert sum(removed) == 4
    assert keys(out) == ["0004.png"]


def test_the_last_part_keeps_its_rows(pictures: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = pictures(1), tmp_path / "m.parquet"
    run(folder, out)
    (folder / "0000.png").unlink()
    (folder / "damaged.png").write_bytes(b"no picture")
    with pytest.raises(Exception, match="not one of 1 image could be processed"):
        run(folder, out, prune_missing=True)
    assert keys(out) == ["0000.png", "damaged.png"]
    (folder / "damaged.png").unlink()
    (folder / "0007.png").symlink_to(folder / "nowhere.png")  # listed, but not there
    with pytest.raises(Exception, match="not one"):
        run(folder, out)
    assert run(folder, out, prune_missing=True).pruned == 2
    assert keys(out) == ["0007.png"]
    assert picture(0).size


def test_a_link_to_a_disk_that_is_not_mounted_hides_its_files(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder, disk, out = pictures(2), tmp_path / "disk", tmp_path / "m.parquet"
    shutil.copytree(folder, disk)
    (folder / "cam1").symlink_to(disk)
    assert run(folder, out).images == 4
    disk.rename(tmp_path / "unmounted")
    after = run(folder, out, prune_missing=True)
    assert (after.missing, after.pruned) == (0, 0)
    assert len(keys(out)) == 4
