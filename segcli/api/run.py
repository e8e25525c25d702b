"""`segcli predict` as a function."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypedDict, Unpack

from segcli.errors import UsageError
from segcli.pipeline import PredictOptions
from segcli.pipeline import predict as run
from segcli.pipeline.events import Event, Report, Summary
from segcli.suggest import did_you_mean


class Options(TypedDict, total=False):
    """The options of `segcli predict`, with its defaults; see `PredictOptions`."""

    model: str | None
    weights: str | None
    device: str
    precision: str
    runtime: str
    engine: str
    replicas: int
    workers: int | None
    max_memory: int | None
    chunk_timeout: float | None
    batch_size: int | None
    chunk_size: int | None
    min_score: float
    max_masks: int
    class_scores: Mapping[str, float]
    min_area: int
    tta: str
    merge_class_agnostic: bool
    max_pixels: int
    strict_images: bool
    all_folders: bool
    categories: Sequence[str] | None
    zones: str | os.PathLike[str] | None
    slice: str | None
    skip_static: bool
    static_threshold: float
    static_age: float
    column: str | None
    key_prefix: str
    same_source: bool
    retry_failed: bool
    prune_missing: bool
    limit: int | None
    max_time: float | None
    shard: str | None
    dry_run: bool
    wait: bool
    every: str
    stream: int
    include: Sequence[str]
    exclude: Sequence[str]
    newer_than: str | None
    older_than: str | None
    time_pattern: str | None
    partition_by: str | None


def predict(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    report: Report | None = None,
    **options: Unpack[Options],
) -> Summary:
    """Find the masks of every image in `source` and write them to `out`, as the command does.

    `source` is a path or "NAME=PATH", or a list of them; then keys begin with the names.
    Run it again to process only new, changed or unfinished images. `report` is called with the
    events of the run (`segcli.pipeline.events`). Raises the SegcliErrors of the command;
    failed images are not an error: see `Summary.failed`.
    """
    given: dict[str, Any] = dict(options)
    known = [field.name for field in fields(PredictOptions)]
    for name in given:
        if name not in known:
            raise UsageError(f"predict has no option {name!r}{did_you_mean(name, known)}")
    for name in ("categories", "include", "exclude"):
        if given.get(name) is not None:
            given[name] = tuple(given[name])
    if given.get("class_scores") is not None:
        given["class_scores"] = tuple(dict(given["class_scores"]).items())
    if given.get("weights") is not None:
        given["weights"] = os.fspath(given["weights"])
    if given.get("zones") is not None:
        given["zones"] = Path(given["zones"])
    sources = [source] if isinstance(source, str | os.PathLike) else source
    paths = tuple(os.fspath(path) for path in sources)
    wanted = PredictOptions(source=paths, out=Path(out), **given)
    return run(wanted, report=report or _ignore)


def _ignore(event: Event) -> None:
    pass
