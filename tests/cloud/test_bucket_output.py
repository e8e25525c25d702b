"""An output in a bucket: committed by conditional puts under a lease, whatever the server does."""

import json
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import toy_worker
from cloud.conftest import SECRET, Store, die, images, opened, png, record, run
from toy_data import rows

from segcli.api import read
from segcli.cli import app
from segcli.cloud.errors import Kind, StoreError
from segcli.cloud.objects import list_objects
from segcli.cloud.writing import find, put_if, put_new
from segcli.errors import Locked, OutputError, SegcliError, UsageError
from segcli.pipeline import PredictOptions, predict
from segcli.stats import StatsOptions, statistics
from segcli.store import (
    OtherSettings,
    Output,
    compact,
    lease,
    lock_output,
    part_paths,
    status,
)
from segcli.store.copies import on_disk
from segcli.store.directory import lease_url
from segcli.store.part_file import encoded, read_footer
from segcli.store.verification import verify
from segcli.types import Record
from segcli.viz import VizOptions, visualise


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "images"
    made.mkdir()
    for number in range(5):
        (made / f"{number}.png").write_bytes(png(number))
    return made


def test_rows_and_readers_are_those_of_an_output_on_a_disk(
    out: str, folder: Path, tmp_path: Path
) -> None:
    here = tmp_path / "here.parquet"
    run(folder, here, chunk_size=2)
    assert run(folder, out, chunk_size=2, limit=2).images == 2
    assert run(folder, out, chunk_size=2).images == 3
    assert run(folder, out).images == 0
    with on_disk(part_paths(Path(out))) as copies:
        assert rows(copies[0].parent) == rows(here)
    assert read(out).to_arrow().num_rows == read(here).to_arrow().num_rows
    there, expected = (statistics(StatsOptions(masks=Path(o), min_score=0)) for o in (out, here))
    assert there.classes == expected.classes
    drawn = visualise(
        VizOptions(masks=Path(out), out=tmp_path / "viz", min_score=0.0), report=[].append
    )
    assert (drawn.pictures, len(drawn.skipped)) == (5, 0)
    found = status(Path(out))
    assert (found.out, found.images, found.parts, found.writer) == (out, 5, 3, None)
    assert found.problems == []
    assert (done := compact(Path(out), images=4)).after == 2
    assert (done.before, done.images) == (3, 5)
    with on_disk(part_paths(Path(out))) as copies:
        assert rows(copies[0].parent) == rows(here)
    (folder / "0.png").write_bytes(png(7) + b"0")
    assert (run(folder, out).redone, run(folder, out).images) == (1, 0)


def test_copies_of_parts_with_one_name_are_kept_apart(out: str) -> None:
    folders = [f"{out}/camera={name}" for name in ("gate", "yard")]
    for folder in folders:
        put_new(f"{folder}/part.parquet", folder.encode())
    with on_disk([Path(folder) / "part.parquet" for folder in folders]) as copies:
        assert [copy.read_text() for copy in copies] == folders


def test_workers_commit_under_the_lease_of_their_coordinator(out: str, folder: Path) -> None:
    (folder / "once.png").write_bytes(png(5))  # kills the first worker that gets it
    summary = predict(
        PredictOptions(source=str(folder), out=Path(out), model="toy", chunk_size=2, device="cpu"),
        report=[].append,
        load=toy_worker.load_fake,
    )
    assert (summary.images, summary.failed) == (6, 0)
    assert images(out) == [*(f"{number}.png" for number in range(5)), "once.png"]


def test_the_commands_read_it(
    out: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder, out)
    coco = tmp_path / "coco.json"
    assert command("export", out, "--to", "coco", "--out", coco, "--min-score", "0") == 0
    assert len(json.loads(coco.read_text())["images"]) == 5
    assert command("eval", "--gt", coco, "--pred", out) == 0
    assert command("report", out, "--out", tmp_path / "r.html") == 0
    assert command("status", out) == 0
    assert f"output         {out}" in capsys.readouterr().out
    assert command("predict", folder, "--out", out, "--model", "toy", "--min-score", "0.5") == 2
    assert f"{out} was made with other settings" in capsys.readouterr().err
    assert command("stats", out, "--out", f"{out}.csv") == 2
    assert "only the output of segcli predict can be in a bucket" in capsys.readouterr().err


def command(*words: object) -> int:
    """The exit code of `segcli WORDS`, run in this process."""
    try:
        app([str(word) for word in words], standalone_mode=False)
    except SegcliError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_two_runs_at_once(out: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 4.0)  # enough for a renewal on a busy machine
    with opened(out):
        start = time.monotonic()
        with pytest.raises(Locked, match=r"another process works on s3://.*process \d+ on"):
            run(folder, out)
        assert time.monotonic() - start < lease.LEASE_S  # the renewal shows that it lives
        assert status(Path(out)).writer is not None
    assert run(folder, out).images == 5


def test_one_of_many_takes_a_free_lease(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 4.0)
    together, taken, refused = threading.Barrier(4), list[lease.Lease](), list[Locked]()

    def try_it() -> None:
        together.wait()
        try:
            taken.append(lease.take(lease_url(out), output=out, wait=False))
        except Locked as error:
            refused.append(error)

    threads = [threading.Thread(target=try_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused)) == (1, 3)
    taken[0].close()


def test_a_killed_holder_is_followed_when_its_lease_has_expired(out: str, folder: Path) -> None:
    dead = opened(out)
    dead.commit([record("x/0.png")])
    die(dead)
    start = time.monotonic()
    with opened(out) as output:
        assert time.monotonic() - start >= lease.LEASE_S * 0.9
        assert output.images == 1


def test_a_clock_that_jumps_changes_nothing(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 4.0)
    with opened(out):
        now = time.time()
        for jump in (-1e6, 1e6):
            monkeypatch.setattr(time, "time", lambda jump=jump: now + jump)
            with pytest.raises(Locked):
                opened(out)


def test_a_holder_that_was_paused_cannot_commit_afterwards(out: str) -> None:
    paused = opened(out)
    paused.commit([record("0.png")])
    die(paused)
    with opened(out) as other:
        with pytest.raises(Locked, match="has taken over .* run the same command again"):
            paused.commit([record("1.png")])
        with pytest.raises(Locked, match="has taken over"):
            paused.replace([record("0.png", 2)])
        other.commit([record("1.png")])
    paused.close()  # leaves the lease of the others alone
    assert images(out) == ["0.png", "1.png"]


def test_what_a_paused_holder_wrote_all_the_same_is_taken_out(
    out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused, others = opened(out), list[Output]()
    real = put_new

    def late(url: str, data: bytes) -> None:
        """It is stopped after it has looked at its lease; another run does the same images."""
        monkeypatch.setattr("segcli.store.bucket_place.put_new", real)
        die(paused)
        others.append(opened(out))
        others[0].commit([record("0.png"), record("1.png")])
        others[0].close()
        real(url, data)

    monkeypatch.setattr("segcli.store.bucket_place.put_new", late)
    with pytest.raises(Locked, match="has taken over"):
        paused.commit([record("1.png"), record("2.png")])
    assert images(out) == ["0.png", "1.png", "1.png", "2.png"]  # until the next run
    with opened(out) as output:
        assert output.images == 3
    assert images(out) == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize("number", range(4))
def test_of_repeated_rows_those_without_an_error_stay(out: str, number: int) -> None:
    """Whichever of the two parts comes first."""
    key = f"{number}.png"
    failed = Record(record(key).sample, None, None, error="no connection to the server")
    with opened(out) as output:
        output.commit([record(key), record("8.png")])
        output.writer.write([failed, record("9.png")], create=False)
    with opened(out) as output:
        assert output.images == 3
    assert [row["status"] for row in read(out).images() if row["key"] == key] == ["ok"]
    assert images(out) == [key, "8.png", "9.png"]


def test_a_part_of_other_settings_is_not_taken_for_ours(out: str) -> None:
    with opened(out) as output:
        output.commit([record("0.png")])
        made = part_paths(Path(out))[0].name
        output.commit([record("1.png")])
        (ours,) = {part.name for part in part_paths(Path(out))} - {made}
        rows, footer, _ = output.writer.place.read(ours)
        others = replace(footer, settings=replace(footer.settings, compared={"source_root": "/b"}))
        output.writer.place.remove(ours)
        put_new(f"{out}/{ours}", encoded(rows, others))
        with pytest.raises(OtherSettings):
            output.writer.write([record("1.png")], create=False)


def test_a_conflict_is_not_taken_for_a_commit(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def conflict(url: str, data: bytes, mode: object) -> None:
        raise StoreError(Kind.EXISTS, "it exists already")

    with opened(out) as output:
        monkeypatch.setattr("segcli.cloud.writing._put_once", conflict)
        with pytest.raises(OutputError, match="another write of it is under way"):
            output.commit([record("0.png")])
        monkeypatch.undo()


def test_a_request_that_fails_says_nothing_about_the_part(
    out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(out) as output:
        output.commit([record("0.png")])
    (part,) = part_paths(Path(out))

    def refuse(url: str, start: int, end: int) -> bytes:
        raise StoreError(Kind.FAILED, "the server answered 503")

    monkeypatch.setattr("segcli.cloud.object_file.fetch_range", refuse)
    with pytest.raises(UsageError, match="cannot read the part .*: the server answered 503"):
        read_footer(part)


def test_broken_parts_are_moved_out_of_the_way(store: Store, out: str) -> None:
    with opened(out) as output:
        output.commit([record("0.png")])
        output.commit([record("1.png")])
    broken = f"part-{32 * '0'}.parquet"
    put_new(f"{out}/{broken}", b"PAR1")
    store.fail("GET", f"{part_paths(Path(out))[1].name}", "503", times=99)
    found = verify(Path(out), repair=True)
    store.faults.clear()
    assert found.moved == [broken], "a request that fails says nothing about the part"
    assert (found.moved_to, found.is_intact) == (f"{out}.broken", False)
    put_new(f"{out}/{broken}", b"PAR1 again")
    found = verify(Path(out), repair=True)
    assert (found.moved, found.is_intact, found.images) == ([broken], True, 2)
    aside = {listed.key.rpartition("/")[2] for listed in list_objects(f"{out}.broken")}
    assert aside == {broken, f"{broken}.2"}
    assert images(out) == ["0.png", "1.png"]
    assert verify(Path(out)).problems == []


@pytest.mark.parametrize("what", ["500", "slow down", "lose"])
def test_a_disturbed_put_is_made_once(store: Store, out: str, what: str) -> None:
    with opened(out) as output:
        store.fail("PUT", "part-", what, times=3)
        output.commit([record("0.png")])
        store.fail("PUT", "part-", what, times=2)
        output.replace([record("0.png", 2)])
        assert output.images == 1
    assert images(out) == ["0.png"]
    assert [row["size_bytes"] for row in read(out)] == [2]


def test_the_lease_survives_lost_answers(store: Store, out: str) -> None:
    store.fail("PUT", ".lease", "lose", times=1)
    with opened(out) as output:
        store.fail("PUT", ".lease", "lose", times=6)
        time.sleep(lease.LEASE_S)
        output.commit([record("0.png")])
    with opened(out) as output:  # at once: it was released
        assert output.images == 1


def test_the_end_of_a_run_does_not_wait_for_a_dead_network(
    out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request is tried for a minute and more."""
    answered = threading.Event()
    monkeypatch.setattr(lease, "RELEASE_S", 0.2)
    output = opened(out)
    monkeypatch.setattr(lease, "put_if", lambda *_: answered.wait(30))
    began = time.monotonic()
    output.close()
    assert time.monotonic() - began < 5
    answered.set()


def test_a_commit_without_a_network_says_what_to_do(store: Store, out: str) -> None:
    with opened(out) as output:
        store.fail("GET", ".lease", "503", times=99)
        with pytest.raises(OutputError, match="run the same command again when the store can be"):
            output.commit([record("0.png")])
        store.faults.clear()


def test_a_server_that_gives_up_ends_the_run_with_a_reason(store: Store, out: str) -> None:
    with opened(out) as output:
        store.fail("PUT", "part-", "503", times=99)
        with pytest.raises(
            OutputError, match="the server answered 503 .*committed work is complete"
        ) as e:
            output.commit([record("0.png")])
        assert SECRET not in str(e.value)
        store.faults.clear()
        output.commit([record("0.png")])
    assert images(out) == ["0.png"]


def test_the_same_chunk_again_is_the_same_part(out: str) -> None:
    with opened(out) as output:
        output.commit([record("0.png"), record("1.png")])
        output.writer.write([record("1.png"), record("0.png")], create=False)
        assert output.writer.find(["0.png", "1.png"]) is not None
        assert output.writer.find(["0.png"]) is None
        assert output.writer.remove(part_paths(Path(out))[0].name, ["0.png"]) is not None
    assert images(out) == ["1.png"]


def test_nothing_but_parts_is_in_the_folder(out: str) -> None:
    with opened(out) as output:
        output.commit([record("0.png")])
    part = part_paths(Path(out))[0].name
    objects = [listed.key for listed in list_objects(out.rpartition("/runs")[0])]
    assert objects == ["runs/.m.parquet.lease", f"runs/m.parquet/{part}"]
    broken = f"part-{32 * '0'}.parquet"
    put_new(f"{out}/{broken}", b"PAR1")
    found = status(Path(out))
    assert (found.images, found.parts, len(found.problems)) == (1, 1, 1)
    assert f"the part {out}/{broken} cannot be read" in found.problems[0]
    put_new(f"{out}/README", b"")
    with pytest.raises(UsageError, match="contains 'README', which is not a part"):
        opened(out)
    assert find(lease_url(out)) is not None


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("s3://bucket", "expected a folder in a bucket"),
        ("https://host/m.parquet", "expected a folder in a bucket"),
        ("hf://datasets/a/b", "expected a folder in a bucket"),
    ],
)
def test_places_where_no_output_can_be(store: Store, place: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        lock_output(Path(place))


def test_missing_buckets_are_refused(store: Store, out: str) -> None:
    with pytest.raises(UsageError, match="there is no such bucket"):
        lock_output(Path("s3://nobody/m.parquet"))
    with pytest.raises(UsageError, match="does not exist; expected the output of a run"):
        part_paths(Path(out))
    for place, words in ((out, "does not exist"), ("s3://nobody/m", "there is no such bucket")):
        with pytest.raises(UsageError, match=words):
            status(Path(place))
    with pytest.raises(StoreError, match="no such bucket"):
        put_new("s3://nobody/m", b"")


def test_partitions_are_folders_of_objects(out: str, tmp_path: Path) -> None:
    source, plain = tmp_path / "source", tmp_path / "plain.parquet"
    for key in ("gate/2026-11-26/a.png", "site/gate/2026-11-27/a.png", "site/gate/a.png"):
        (source / key).parent.mkdir(parents=True, exist_ok=True)
        (source / key).write_bytes(png(len(key)))
    run(source, plain)
    run(source, out, partition_by="date,camera")
    assert sorted(map(str, read(out))) == sorted(map(str, read(plain)))
    names = [path.parent.as_posix().partition("date=")[2] for path in part_paths(Path(out))]
    assert names == [
        "2026-11-26/camera=gate",
        "2026-11-27/camera=site%2Fgate",
        "__HIVE_DEFAULT_PARTITION__/camera=site%2Fgate",
    ]
    (source / "gate/2026-11-26/b.png").write_bytes(png(7))
    (source / "gate/2026-11-26/a.png").write_bytes(png(8))
    again = run(source, out, partition_by="date,camera")
    assert (again.images, again.redone) == (2, 1)
    done = compact(Path(out), images=100)
    assert (done.before, done.after, done.images) == (4, 3, 4)
    assert status(Path(out)).images == 4
    first = f"{out}/date=2026-11-26/camera=gate/{part_paths(Path(out))[0].name}"
    there = find(first)
    assert there is not None
    put_if(first, there.data[:50], there)
    assert verify(Path(out), repair=True).is_intact
    assert run(source, out, partition_by="date,camera").images == 2
    assert verify(Path(out)).images == 4
    with pytest.raises(OtherSettings, match="give `partition_by='date,camera'`"):
        run(source, out, partition_by="date")
