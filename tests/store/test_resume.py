import random
import subprocess
import sys
from collections import Counter

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segcli.store import open_output

CATEGORIES = (("person", "car"), (1, 3))

RUN = st.fixed_dictionaries(
    {
        "chunk": st.integers(1, 5),
        "seed": st.integers(0, 9),
        "retry": st.booleans(),
        "kill": st.none() | st.tuples(st.integers(0, 60), st.booleans()),
    }
)
CHANGE = st.fixed_dictionaries({"file": st.integers(0, 11), "masks": st.integers(-1, 3)})


class Archive:
    """Files by number, each with a version (its time) and what is found in it (-1: broken)."""

    def __init__(self, record):
        self._record = record
        self.files: dict[int, tuple[int, int]] = {}
        self.seen: set[tuple[str, int, int]] = set()

    def change(self, file, masks):
        version = self.files.get(file, (0, 0))[0] + 1
        self.files[file] = (version, masks)
        self.seen.add((f"dir/{file}.jpg", version, masks))

    def record(self, file):
        version, masks = self.files[file]
        error = "broken" if masks < 0 else None
        return self._record(f"dir/{file}.jpg", max(masks, 0), version=version, error=error)


def run(out, archive, *, chunk, seed, retry):
    """What `predict` does: new images in chunks, the others part by part."""
    files = [*archive.files]
    random.Random(seed).shuffle(files)
    records = [archive.record(file) for file in files]
    states = [out.state(r.sample) for r in records]
    new = [r for r, state in zip(records, states, strict=True) if state == "new"]
    for i in range(0, len(new), chunk):
        out.commit(new[i : i + chunk])
    wanted = {"changed", "failed"} if retry else {"changed"}
    redone = [r for r, state in zip(records, states, strict=True) if state in wanted]
    if redone:
        out.replace(redone)


def images(path):
    """(key, version, masks) of every image; fails when the rows of one do not belong together."""
    if not path.exists():
        return []
    rows = pq.read_table(path).to_pylist()
    found = []
    for key, version, status, masks in {
        (r["key"], r["mtime_ns"], r["status"], r["masks"]) for r in rows
    }:
        own = [r["mask"] for r in rows if r["key"] == key]
        assert sorted(own, key=str) == ([None] if not masks else [*range(masks)])
        found.append((key, version, -1 if status == "failed" else masks))
    return sorted(found)


@pytest.mark.slow
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(script=st.lists(CHANGE | RUN, min_size=1, max_size=14), last=RUN)
def test_whatever_happens_each_image_ends_up_in_it_once(
    script, last, record, settings, killed_at, tmp_path_factory
):
    path = tmp_path_factory.mktemp("run") / "masks.parquet"
    archive = Archive(record)
    for step in [*script, {**last, "kill": None}]:
        if "file" in step:
            archive.change(**step)
            continue
        kill = step.pop("kill")
        with killed_at(*kill) if kill else killed_at(10**9):
            out = None
            try:
                out = open_output(path, settings(), carried={}, categories=CATEGORIES)
                run(out, archive, **step)
                out.close()
            except BaseException as e:
                if type(e).__name__ != "Killed":
                    raise
        if out is not None:
            out._lock.locks[0].close()  # as the kernel does
        found = images(path)
        assert max(Counter(key for key, *_ in found).values(), default=1) == 1
        assert {*found} <= archive.seen
    expected = [(f"dir/{f}.jpg", v, m) for f, (v, m) in archive.files.items()]
    assert images(path) == sorted(expected)


KILLED = """
import sys, time
from pathlib import Path
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

chunk, is_killed = int(sys.argv[2]), sys.argv[3:] == ["killed"]
with open_output(Path(sys.argv[1]), Settings({}, {}), carried={}, categories=(["x"], [1])) as out:
    print("open", flush=True)
    samples = [Sample(f"{i}", f"{i}", size_bytes=1, mtime_ns=1) for i in range(400)]
    new = [s for s in samples if out.state(s) == "new"]
    for i in range(0, len(new), chunk):
        segments = [Segment(0, 0.5, (0, 0, 1, 1), 1, b"rle")] * 30
        if is_killed and i + chunk >= len(new):
            time.sleep(600)  # it cannot come to the end, on any machine
        out.commit([Record(s, 9, 9, segments) for s in new[i : i + chunk]])
"""


@pytest.mark.slow
def test_a_process_killed_at_random_loses_and_doubles_nothing(tmp_path):
    path = tmp_path / "masks.parquet"
    for chunk in (3, 7, 4, 5):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), str(chunk), "killed"], stdout=subprocess.PIPE
        )
        with process.stdout as told:
            assert told.readline() == b"open\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(random.uniform(0.0, 0.1))
            process.kill()
        process.wait()
        if path.exists():
            assert {*Counter(pq.read_table(path)["key"].to_pylist()).values()} == {30}
    subprocess.run([sys.executable, "-c", KILLED, str(path), "50"], check=True)
    assert Counter(pq.read_table(path)["key"].to_pylist()) == {str(i): 30 for i in range(400)}
