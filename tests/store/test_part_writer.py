import errno
import os
import resource
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segcli.errors import OutputError
from segcli.store.part_file import read_footer
from segcli.store.part_writer import part_name


def rows(path):
    """(key, mask, mtime) of all rows; a directory that is not there has none."""
    if not path.exists():
        return []
    found = pq.read_table(path, columns=["key", "mask", "mtime_ns"]).to_pylist()
    return sorted((r["key"], r["mask"] is None, r["mask"] or 0, r["mtime_ns"]) for r in found)


def test_the_name_depends_on_the_keys_alone():
    assert part_name(["a", "b"]) == part_name(["b", "a"])
    assert part_name(["a", "b"]) != part_name(["ab"]) != part_name(["a"])


def test_repeated_columns_are_dictionary_pages_and_masks_are_not(output, record):
    with output() as out:
        part = out.commit([record(f"{i:05d}", 20) for i in range(50)])
    group = pq.read_metadata(part).row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert {c.compression for c in columns.values()} == {"ZSTD"}
    for name in ("key", "status", "error", "category"):
        assert columns[name].has_dictionary_page
        assert columns[name].is_stats_set
    assert not columns["rle"].has_dictionary_page
    assert not columns["rle"].is_stats_set
    assert str(pq.read_schema(part).field("key").type) == "string"
    assert columns["key"].total_compressed_size < 1000


def killed_everywhere(output, killed_at, begin, act):
    """Kills `act` before and after every step that touches the disk; what is there after each."""
    reached = []
    for step in range(100):
        for done in (False, True):
            path = begin(f"{step}{done}.parquet")
            with killed_at(step, done) as steps:
                out = None
                try:
                    out = output(path.name)
                    act(out)
                    out.close()
                except BaseException as e:
                    if type(e).__name__ != "Killed":
                        raise
                if out is not None:
                    out._lock.locks[0].close()  # as the kernel does
            reached.append(rows(path))
            with output(path.name) as again:  # the next run is able to go on
                act(again)
        if len(steps) <= step:
            return reached
    raise AssertionError("never came to an end")


@pytest.mark.slow
def test_a_first_part_is_there_whole_or_not_at_all(output, killed_at, record, tmp_path):
    chunk = [record("a", 2), record("b", 0)]
    states = killed_everywhere(
        output, killed_at, lambda name: tmp_path / name, lambda out: out.commit(chunk)
    )
    whole = [("a", False, 0, 1), ("a", False, 1, 1), ("b", True, 0, 1)]
    assert {str(s) for s in states} == {"[]", str(whole)}
    assert len(states) >= 20


@pytest.mark.slow
def test_a_further_part_leaves_the_first_alone(output, killed_at, record, tmp_path):
    def begin(name):
        with output(name) as out:
            out.commit([record("a")])
        return tmp_path / name

    states = killed_everywhere(output, killed_at, begin, lambda out: out.commit([record("b")]))
    a, b = ("a", False, 0, 1), ("b", False, 0, 1)
    assert {str(s) for s in states} == {str([a]), str([a, b])}


@pytest.mark.slow
def test_a_replaced_part_is_the_old_one_or_the_new_one(output, killed_at, record, tmp_path):
    def begin(name):
        with output(name) as out:
            out.commit([record("a", 2), record("b", error="bad")])
        return tmp_path / name

    states = killed_everywhere(
        output, killed_at, begin, lambda out: out.replace([record("b", 1, version=2)])
    )
    a = [("a", False, 0, 1), ("a", False, 1, 1)]
    assert {str(s) for s in states} == {
        str([*a, ("b", True, 0, 1)]),
        str([*a, ("b", False, 0, 2)]),
    }


@pytest.mark.slow
def test_rows_are_removed_at_once_or_not_at_all(output, killed_at, record, sample, tmp_path):
    def begin(name):
        with output(name) as out:
            out.commit([record("a", 2), record("b")])
            out.commit([record("c")])
        return tmp_path / name

    def act(out):
        for key in ("a", "c"):
            if key in keys(out.path):
                out.remove(out.part_of(sample(key)), [key])

    states = killed_everywhere(output, killed_at, begin, act)
    assert {"".join(sorted({row[0] for row in state})) for state in states} == {"abc", "bc", "b"}


def keys(path):
    return {row[0] for row in rows(path)}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("call", ["write", "fsync", "mkdir", "rename", "replace"])
def test_a_disk_that_refuses_ends_the_run_and_leaves_nothing(
    output, record, sample, tmp_path, monkeypatch, number, call
):
    with output() as out:
        if call == "replace":
            out.commit([record("a")])

        def refuse(*args, **kwargs):
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(os, call, refuse)
            with pytest.raises(OutputError, match=os.strerror(number)) as caught:
                out.commit([record("b")])
        assert caught.value.exit_code == 7
        assert out.state(sample("b")) == "new"
        assert not [*tmp_path.glob(".masks.parquet.staging/**/*.parquet")]
        out.commit([record("b")])  # there is room again
    assert {key for key, *_ in rows(tmp_path / "masks.parquet")} >= {"b"}


def test_another_file_system_underneath_is_explained(output, record, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    with output() as out, monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse)
        with pytest.raises(OutputError, match="another file system .* mount"):
            out.commit([record("a")])


def test_what_reads_back_differently_is_not_committed(output, record, tmp_path, monkeypatch):
    write = os.write
    for spoiled in (
        lambda data: bytes(len(data)),
        lambda data: bytes(data).replace(b"/archive", b"/Archive"),
    ):
        with output() as out, monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda fd, data, spoil=spoiled: write(fd, spoil(data)))
            with pytest.raises(OutputError, match="read"):
                out.commit([record("a")])
        assert rows(tmp_path / "masks.parquet") == []


def test_want_of_memory_is_no_damage_of_a_part(output, record, monkeypatch):
    def full(*args, **options):
        raise pa.ArrowMemoryError("malloc of size 128 failed")

    with output() as out:
        part = out.commit([record("a")])
    monkeypatch.setattr(pq, "ParquetFile", full)
    with pytest.raises(MemoryError):
        read_footer(part)


LIMITED = """
import sys
from pathlib import Path
from segcli.errors import OutputError
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

segments = [Segment(0, 0.5, (0, 0, 1, 1), 1, bytes([i % 251, i // 251]) * 40) for i in range(9000)]
def record(key, segments): return Record(Sample(key, key, size_bytes=1, mtime_ns=1), 9, 9, segments)
with open_output(Path(sys.argv[1]), Settings({}, {}), carried={}, categories=(["x"], [1])) as out:
    print([out.state(Sample(key, key, size_bytes=1, mtime_ns=1)) for key in ("small", "large")])
    try:
        out.commit([record("small", segments[:1])])
        out.commit([record("large", segments)])
    except OutputError as e:
        print(e)
        sys.exit(e.exit_code)
"""


@pytest.mark.slow
def test_a_full_disk_is_exit_7_and_the_next_run_goes_on(tmp_path):
    path = tmp_path / "masks.parquet"

    def run(limit):
        return subprocess.run(
            [sys.executable, "-c", LIMITED, str(path)],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
            capture_output=True,
            text=True,
        )

    first = run(20_000)
    assert first.returncode == 7, first.stderr
    assert "File too large" in first.stdout
    assert {key for key, *_ in rows(path)} == {"small"}
    second = run(resource.RLIM_INFINITY)
    assert second.returncode == 0, second.stderr
    assert second.stdout == "['done', 'new']\n"
    assert len(rows(path)) == 9001


def test_bytes_and_names_are_durable_before_the_next_step(output, killed_at, record):
    with output() as out:
        with killed_at(10**9) as first:
            out.commit([record("a")])
        with killed_at(10**9) as second:
            out.commit([record("b")])
        with killed_at(10**9) as third:
            out.replace([record("b", 2)])
    # "open fsync" after the file's own is that of a directory: the staged one, then the parent.
    assert " ".join(first).endswith(
        "mkdir open write fsync open fsync rename open fsync unlink rmdir"
    )
    assert " ".join(second) == "mkdir open write fsync replace open fsync unlink rmdir"
    assert third == second
