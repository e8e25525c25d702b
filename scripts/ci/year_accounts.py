"""The accounts of a simulated year: what an output has against what its ledger says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.dataset

from scripts.ci.year_world import DAMAGED, DAY_S, Ledger, Version, World, masks_in, write_file
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.job import Load
from segcli.retention import PruneOptions, kept_counts, prune
from segcli.store import status
from segcli.store.directory import resolve
from segcli.store.pruned import load_pruned

_FOREVER_D = -10_000


def check(out: Path, ledger: Ledger) -> Counter[str]:
    """How many images are in each state. Raises AssertionError unless every image that must be
    there is in exactly one, as its file showed it, and no other image is there."""
    columns = ["key", "status", "mask", "masks", "mtime_ns", "size_bytes"]
    table = pyarrow.dataset.dataset(out).to_table(columns=columns).to_pylist()
    images = [row for row in table if row["mask"] in (None, 0)]
    rows = {row["key"]: row for row in images}
    assert len(rows) == len(images), "an image is there twice"
    pruned = load_pruned(resolve(out)).index
    states: Counter[str] = Counter()
    for key in {*ledger.must, *ledger.may, *rows}:
        allowed = ledger.allowed(key)
        assert allowed, f"{key} is there, and no run has seen it"
        row, entry = rows.get(key), pruned.find(key)
        if row is not None:
            version = next((v for v in allowed if _is(row, v)), None)
            assert version is not None, (key, row, allowed)
            masks = _masks(key, version)
            found = DAMAGED if row["status"] == "failed" else row["masks"]
            assert found == masks, (key, row, version)
            states["images with rows, failed" if masks == DAMAGED else "images with rows"] += 1
        elif entry is not None:
            times = [v for v in allowed if entry.same_mtime(v.mtime_s * 10**9)]
            assert any(entry.same_size(v.size) for v in times), (key, allowed)
            states["images pruned"] += 1
        else:
            assert key not in ledger.must, f"{key} is lost: {allowed}"
            states["images that no complete run saw, without rows"] += 1
    found = status(out)
    assert found.images == len(rows)
    assert found.pruned >= states["images pruned"]
    return states


def _is(row: dict, version: Version) -> bool:
    return (row["mtime_ns"], row["size_bytes"]) == (version.mtime_s * 10**9, version.size)


def _masks(key: str, version: Version) -> int:
    content = b"damaged" if version.masks == DAMAGED else b"masks=%d" % version.masks
    return masks_in(key, content)


def final_counts(out: Path, ledger: Ledger, world: World, other: Path, load: Load) -> None:
    """Compare the daily counts with those of one run over all files that `out` has had.

    Raises AssertionError when they differ.
    """
    rows = pyarrow.dataset.dataset(out).to_table(columns=["key", "mtime_ns", "size_bytes"])
    last = {row["key"]: row for row in rows.to_pylist()}
    pruned = load_pruned(resolve(out)).index
    archive = other.with_name(f"{other.name}.source")
    missing = []
    for key in {*ledger.must, *ledger.may}:
        if key not in last and pruned.find(key) is None:
            missing.append(key)  # such as a frame of a clip that no complete run has seen
        for version in ledger.allowed(key):
            entry = pruned.find(key)
            is_there = (
                _is(last[key], version)
                if key in last
                else (
                    entry is not None
                    and entry.same_mtime(version.mtime_s * 10**9)
                    and entry.same_size(version.size)
                )
            )
            if is_there:
                write_file(archive / key.partition("#")[0], version, world.clip)
    options = PredictOptions(
        source=str(archive), out=other, model="toy", device="cpu", precision="float32",
        replicas=0, count_ahead=False, exclude=tuple(missing),
    )  # fmt: skip
    predict(options, report=lambda event: None, load=load)
    for path in (out, other):
        prune(PruneOptions(out=path, older_than=_FOREVER_D * DAY_S, keep_counts=True))
    assert kept_counts(out) == kept_counts(other)
