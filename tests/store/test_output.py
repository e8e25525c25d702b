import os
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segcli.errors import Locked, OutputError, UsageError
from segcli.store import open_output, peek, preview_output
from segcli.store.part_file import read_footer, write_part
from segcli.store.schema import schema

CATEGORIES = (("person", "car"), (1, 3))


def keys_in(path):
    return sorted({*pq.read_table(path)["key"].to_pylist()})


def test_a_commit_is_one_part_named_by_its_keys(output, record, tmp_path):
    with output() as out:
        path = out.commit([record("a", 2), record("b", 0), record("c", error="bad")])
        assert (out.images, out.failed, out.masks, len(out.done)) == (3, 1, 2, 3)
    assert path == tmp_path / "masks.parquet/part-80977ac98781df83ada35d1e82193689.parquet"
    assert os.listdir(tmp_path / "masks.parquet") == [path.name]
    assert {*os.listdir(tmp_path)} == {"masks.parquet", ".masks.parquet.lock"}


def test_nothing_but_the_lock_is_written_before_the_first_commit(output, tmp_path):
    with output():
        assert os.listdir(tmp_path) == [".masks.parquet.lock"]
    assert os.listdir(tmp_path) == []


def test_what_is_done_is_known_to_the_next_run(output, record, sample):
    with output() as out:
        assert out.state(sample("a")) == "new"
        out.commit([record("a", 2), record("b", error="bad")])
        assert out.state(sample("a")) == out.state(sample("b")) == "done"
        assert out.repeated(sample("a"))
    with output() as out:
        assert (out.images, out.failed, out.masks) == (2, 1, 2)
        assert out.state(sample("a")) == "done"
        assert not out.repeated(sample("a"))
        assert out.state(sample("b")) == "failed"
        assert out.state(sample("c")) == "new"
        assert out.state(sample("a", version=2)) == "changed"
        assert out.state(replace(sample("a"), size_bytes=101)) == "changed"


def test_a_vanished_file_keeps_its_rows_and_one_that_comes_back_is_done(output, record, sample):
    gone = replace(sample("gone"), size_bytes=None, mtime_ns=None)
    with output() as out:
        out.commit([record("a"), replace(record("gone", error="vanished"), sample=gone)])
    with output() as out:
        assert out.state(replace(sample("a"), size_bytes=None, mtime_ns=None)) == "done"
        assert out.state(gone) == "failed"
        assert out.state(sample("gone")) == "changed"


def test_a_chunk_that_is_committed_twice_overwrites_itself(output, record, tmp_path):
    with output() as out:
        first = out.commit([record("a", 1), record("b")])
        assert out.commit([record("b"), record("a", 3)]) == first
        assert (out.images, out.masks, len(out.done)) == (2, 4, 2)
    assert pq.read_table(tmp_path / "masks.parquet").num_rows == 4


@pytest.mark.parametrize("keys", [[], ["c", "c"], ["a", "c"]])
def test_a_chunk_that_would_double_a_key_is_our_bug(output, record, keys):
    with output() as out:
        out.commit([record("a"), record("b")])
        with pytest.raises(ValueError, match="once|another part"):
            out.commit([record(key) for key in keys])


def test_replacing_keeps_the_name_and_the_other_rows(output, record, sample, tmp_path):
    with output() as out:
        first = out.commit([record("a", 2), record("b", error="bad"), record("c", 0)])
        second = out.commit([record("d"), record("e", error="bad")])
        third = out.commit([record("f")])
    untouched = third.stat().st_ino
    with output() as out:
        assert out.part_of(sample("b")) == first.name
        redone = [record("b", 3), record("c", 1, version=2), record("e", error="still bad")]
        assert out.replace(redone) == [first, second]
        assert (out.images, out.failed, out.masks, len(out.done)) == (6, 1, 8, 6)
        assert out.state(sample("c")) == "done"
    assert third.stat().st_ino == untouched
    rows = pq.read_table(tmp_path / "masks.parquet").to_pylist()
    assert sorted((r["key"], r["mask"]) for r in rows if r["mask"] is not None) == [
        ("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2), ("c", 0), ("d", 0), ("f", 0),
    ]  # fmt: skip
    assert [(r["key"], r["error"]) for r in rows if r["mask"] is None] == [("e", "still bad")]
    with output() as out:
        assert (out.images, out.failed, out.masks) == (6, 1, 8)
        assert out.state(sample("c")) == "changed"
        assert out.state(sample("c", version=2)) == "done"


def test_what_is_not_there_cannot_be_replaced(output, record):
    with output() as out, pytest.raises(ValueError, match="commit it"):
        out.replace([record("a")])


def test_a_second_run_is_locked_out(output, record):
    with output() as out:
        out.commit([record("a")])
        with pytest.raises(Locked):
            output()
    output().close()


def test_two_names_of_one_output_share_the_lock(output, tmp_path):
    (tmp_path / "masks.parquet").mkdir()
    (tmp_path / "link").symlink_to("masks.parquet")
    with output("link"), pytest.raises(Locked):
        output("masks.parquet")


def test_an_empty_directory_may_be_there_already(output, record, tmp_path):
    (tmp_path / "masks.parquet").mkdir()
    with output() as out:
        out.commit([record("a")])
    assert keys_in(tmp_path / "masks.parquet") == ["a"]


def test_parents_are_made_and_any_name_will_do(output, record, tmp_path):
    name = os.fsdecode(b"new/caf\xe9 #?=%20.parquet")
    for keys in ("ab", "cd"):
        with output(name) as out:
            out.commit([record(key) for key in keys])
    with output(name) as out:
        assert len(out.done) == 4


def test_stale_staging_is_removed_by_the_next_holder_of_the_lock(output, tmp_path):
    stale = tmp_path / ".masks.parquet.staging/part-1"
    stale.mkdir(parents=True)
    (stale / "part-1.parquet").write_bytes(b"PAR1 half")
    with output():
        assert not stale.parent.exists()


def test_a_preview_looks_and_writes_nothing(output, record, sample, settings, tmp_path):
    given = {"carried": {}, "categories": CATEGORIES}
    preview = preview_output(tmp_path / "masks.parquet", settings(), **given)
    assert preview.state(sample("a")) == "new"
    assert os.listdir(tmp_path) == []
    with output() as out:
        out.commit([record("a")])
        with preview_output(tmp_path / "masks.parquet", settings(), **given) as preview:
            assert preview.state(sample("a")) == "done"
            assert (preview.images, preview.failed) == (1, 0)
        with pytest.raises(Locked):
            output()


def test_other_settings_are_refused_with_the_difference_and_a_command(output, record, settings):
    with output() as out:
        out.commit([record("a")])
    given = settings(min_score=0.3)
    given.recorded["command"] = ["segcli", "predict", "x", "--out", "masks.parquet"]
    with pytest.raises(UsageError) as caught:
        output(settings=given)
    assert "`min_score`: 0.05 there, 0.3 now" in str(caught.value)
    assert "segcli predict x --out" in str(caught.value)
    assert "masks-2.parquet" in str(caught.value)
    with pytest.raises(UsageError, match="column src_camera: absent there, string now"):
        output(carried={"camera": pa.string()})
    with pytest.raises(UsageError, match="the model's categories: .*car.* there, .*dog.* now"):
        open_output(out.path, settings(), carried={}, categories=(("person", "dog"), (1, 3)))
    output().close()


def test_another_root_is_refused_unless_it_is_the_same_archive(output, record, sample, settings):
    with output() as out:
        out.commit([record("a"), record("b")])
    moved = settings(root="/moved")
    with pytest.raises(UsageError, match="from /archive, now given /moved.*`same_source=True`"):
        output(settings=moved)
    with output(settings=moved, same_source=True) as out:
        # Copying may have changed the times, but not the sizes.
        assert out.state(sample("a", version=9)) == "done"
        assert out.state(replace(sample("a"), size_bytes=7)) == "changed"
        out.commit([record("c")])
    # Having been told once, with a part to show for it, both roots are known.
    with output(settings=moved) as out:
        assert out.state(sample("a", version=9)) == "done"
        assert out.state(sample("c", version=9)) == "changed"
    with output() as out:
        assert out.state(sample("a")) == "done"


def test_a_key_prefix_keeps_two_archives_apart(output, record, sample, settings):
    with output() as out:
        out.commit([record("a"), record("cam2/b")])
    cam2 = settings(root="/cam2", prefix="cam2/")
    with output(settings=cam2) as out:
        assert out.state(sample("cam2/a")) == "new"
        with pytest.raises(UsageError, match="already has 'cam2/b' from another source"):
            out.state(sample("cam2/b"))
        out.commit([record("cam2/a")])
    with output(settings=cam2) as out:
        assert out.state(sample("cam2/a")) == "done"
    with output() as out:
        assert out.state(sample("a")) == "done"
    with pytest.raises(UsageError, match="from /cam2, now given /other"):
        output(settings=settings(root="/other", prefix="cam2/"))


def test_a_part_of_an_archive_that_moved_stays_of_that_archive(output, record, sample, settings):
    with output() as out:
        out.commit([record("a"), record("b", error="bad")])
    moved = settings(root="/moved")
    with output(settings=moved, same_source=True) as out:
        out.replace([record("b", version=9)])
        out.commit([record("c", version=9)])
    with output(settings=moved) as out:
        assert out.state(sample("a", version=9)) == out.state(sample("b", version=9)) == "done"


def test_parts_copied_in_from_elsewhere_do_not_double_a_key(output, record, tmp_path):
    with output() as out:
        out.commit([record("a"), record("b")])
    with output("other") as other:
        path = other.commit([record("b"), record("c")])
    (tmp_path / "masks.parquet" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UsageError, match="contains 1 image twice"):
        output()


def test_peek_tells_the_facts_of_what_is_there(output, record, settings, tmp_path):
    path = tmp_path / "masks.parquet"
    assert peek(path) is None
    with output(settings=settings(precision="bfloat16")) as out:
        assert peek(path) is None
        out.commit([record("a")])
    assert peek(path).compared["precision"] == "bfloat16"


def test_a_removed_output_is_not_begun_anew_in_the_middle(output, record, tmp_path):
    with output() as out:
        part = out.commit([record("a")])
        part.unlink()
        part.parent.rmdir()
        with pytest.raises(OutputError, match="cannot write to"):
            out.commit([record("b")])
    assert not part.parent.exists()


@pytest.mark.parametrize("truncated", [0, 10, -8])
def test_a_damaged_part_is_named_with_what_to_do(output, record, tmp_path, truncated):
    with output() as out:
        part = out.commit([record("a")])
    part.write_bytes(part.read_bytes()[:truncated])
    with pytest.raises(UsageError, match=f"{part.name} cannot be read .*copy it again, or remove"):
        output()
    part.unlink()
    with output() as out:
        assert len(out.done) == 0


def test_a_part_of_another_tool_is_named(output, record, tmp_path):
    with output() as out:
        part = out.commit([record("a")])
    pq.write_table(pa.table({"key": ["a"]}), part)
    with pytest.raises(UsageError, match="not a part of segcli predict of this version"):
        output()


def test_a_part_that_may_not_be_read_is_not_called_damaged(output, record, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    with output() as out:
        part = out.commit([record("a")])
    monkeypatch.setattr("segcli.store.part_file.open", refuse, raising=False)
    with pytest.raises(UsageError, match=f"cannot read the part .*{part.name}: Permission denied"):
        output()


def test_an_output_of_the_first_schema_is_continued_without_warnings(output, record, tmp_path):
    warned = replace(record("a"), warnings=("damaged: x", "several pages: y"))
    with output() as out:
        out.commit([warned])
    path = out.path
    assert pq.read_table(path)["warning"].to_pylist() == ["damaged: x; several pages: y"]
    (part,) = path.glob("*.parquet")
    old = pq.read_table(part).select(schema({}, 1).names)
    footer = replace(read_footer(part), schema_version=1)
    part.unlink()
    write_part(part, old, footer)
    with output() as out:
        assert out.state(record("a").sample) == "done"
        out.commit([replace(record("b"), warnings=("damaged: x",))])
        out.replace([replace(record("a"), warnings=("damaged: x",))])
    assert {read_footer(part).schema_version for part in path.glob("*.parquet")} == {1}
    table = pq.read_table(path)
    assert "warning" not in table.column_names
    assert sorted(table["key"].to_pylist()) == ["a", "b"]
