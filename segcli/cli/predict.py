"""`segcli predict`: find the masks of images and write them to Parquet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from segcli.cli.fetching import Fetch, fetch_for
from segcli.cli.options import (
    Agnostic,
    Every,
    LogJson,
    Metrics,
    MinArea,
    Model,
    Nice,
    PartitionBy,
    Quiet,
    SkipStatic,
    Slice,
    StaticAge,
    StaticThreshold,
    SummaryJson,
    TimePattern,
    Tta,
    Wait,
    Zones,
    category_names,
    least_scores,
)
from segcli.cli.quantities import age, seconds, size
from segcli.cli.quantities import batch_size as parsed_batch_size
from segcli.cli.running import Reports, run_and_report
from segcli.pipeline import PredictOptions

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="Folders, images, videos, archives, lists (.txt), Parquet manifests, buckets or URLs; "
        "NAME=PATH adds NAME before the keys.",
    ),
]
Out = Annotated[Path, typer.Option(help="The output, a folder of parts; name it *.parquet.")]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|NAME",
        help="The weights; by default those shipped or installed for the model.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME,NAME", help="auto, all, or a comma-separated list of cpu, cuda, cuda:N."
    ),
]
Replicas = Annotated[
    int,
    typer.Option(
        min=0, help="The number of worker processes per device; 0 runs everything in one process."
    ),
]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(
        help="Where to compute; ray uses the cluster at RAY_ADDRESS, and only this process writes."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="The number of decoding threads of each worker; by default the cores are divided."
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Limit the memory of waiting images over all workers, e.g. 8GB.",
    ),
]
ChunkTimeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Kill a worker that finishes no batch for this long; by default its speed decides.",
    ),
]
BatchSize = Annotated[
    str, typer.Option(metavar="N|auto", help="The maximum number of images in a batch.")
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16", "float16", "int8"],
    typer.Option(
        help="The precision; auto is bfloat16 if it is fast, and on resume that of the output. "
        "int8 needs weights of segcli weights quantize."
    ),
]
Runtime = Annotated[
    Literal["auto", "torch", "openvino"],
    typer.Option(
        help="The library that runs the network; auto is OpenVINO if it is installed and faster."
    ),
]
MinScore = Annotated[
    str,
    typer.Option(
        metavar="SCORE|NAME=SCORE,...",
        help="Drop masks with a lower score, as in 0.3, person=0.5,car=0.3 or 0.1,person=0.5.",
    ),
]
MaxMasks = Annotated[
    int, typer.Option(help="Keep at most this many masks per image, the best ones.")
]
MaxPixels = Annotated[
    int, typer.Option(help="Do not decode images with more pixels; they become failed rows.")
]
StrictImages = Annotated[
    bool,
    typer.Option(
        "--strict-images",
        help="Treat images with corrupt data as failed even if they can be decoded.",
    ),
]
ChunkSize = Annotated[
    int | None,
    typer.Option(help="The number of images per part; by default about a minute of work."),
]
Categories = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME",
        help="Find only these categories; by default all categories of the model.",
    ),
]
Column = Annotated[
    str | None,
    typer.Option(help="The column of the manifest with the paths or the encoded images."),
]
KeyPrefix = Annotated[
    str,
    typer.Option(help="Add this before every key, to separate several sources in one output."),
]
SameSource = Annotated[
    bool, typer.Option("--same-source", help="The source has moved, and its keys are the same.")
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Retry images that failed in earlier runs.")
]
PruneMissing = Annotated[
    bool,
    typer.Option(
        "--prune-missing",
        help="Remove the rows of images whose files are gone; with --dry-run, count them.",
    ),
]
Limit = Annotated[int | None, typer.Option(help="Stop after this many images in this run.")]
MaxTime = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="End after this time, e.g. 50m, with what is done; the next run continues.",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Process shard I of N (0/N is the first), for job arrays with one --out.",
    ),
]
Stream = Annotated[
    int,
    typer.Option(min=0, help="Which video stream to read if a file has several; 0 is the first."),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", help="Use only keys that match, e.g. 'cam1/*'; can be repeated."
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", help="Leave out keys that match, e.g. '*/thumbs/*'; can be repeated."
    ),
]
NewerThan = Annotated[
    str | None,
    typer.Option(metavar="AGE", help="Use only files changed within this time, e.g. 2h or 7d."),
]
AllFolders = Annotated[
    bool,
    typer.Option(
        "--all-folders",
        help="Include folders of NAS systems and archive tools, such as @eaDir and __MACOSX.",
    ),
]
OlderThan = Annotated[
    str | None,
    typer.Option(
        metavar="AGE",
        help="Use only files unchanged for this time, e.g. 5m, because these are complete.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done, without writing anything.")
]
LogFormat = Annotated[
    Literal["text", "json"],
    typer.Option(
        help="The format of progress messages; json prints one object per line on stdout."
    ),
]

_DEFAULT = PredictOptions(source="", out=Path())


# fmt: off
def predict(
    source: Sources, out: Out,
    # the model and what it looks for
    model: Model = None, weights: Weights = None, fetch: Fetch = False,
    categories: Categories = None, slicing: Slice = None, zones: Zones = None,
    min_score: MinScore = f"{_DEFAULT.min_score}", max_masks: MaxMasks = _DEFAULT.max_masks,
    min_area: MinArea = 0, tta: Tta = "none", merge_class_agnostic: Agnostic = False,
    # which images
    column: Column = None, key_prefix: KeyPrefix = "", same_source: SameSource = False,
    include: Include = None, exclude: Exclude = None, all_folders: AllFolders = False,
    newer_than: NewerThan = None, older_than: OlderThan = None, time_pattern: TimePattern = None,
    every: Every = _DEFAULT.every, stream: Stream = _DEFAULT.stream,
    skip_static: SkipStatic = False, static_threshold: StaticThreshold = _DEFAULT.static_threshold,
    static_age: StaticAge = "5m",
    max_pixels: MaxPixels = _DEFAULT.max_pixels, strict_images: StrictImages = False,
    retry_failed: RetryFailed = False, prune_missing: PruneMissing = False,
    limit: Limit = None, max_time: MaxTime = None, shard: Shard = None,
    # where and how
    device: Device = _DEFAULT.device, engine: Engine = "local", replicas: Replicas = 1,
    workers: Workers = None, max_memory: MaxMemory = None, chunk_timeout: ChunkTimeout = None,
    batch_size: BatchSize = "auto", precision: Precision = "auto", chunk_size: ChunkSize = None,
    dry_run: DryRun = False, wait: Wait = False, nice: Nice = 0, runtime: Runtime = "auto",
    partition_by: PartitionBy = None, log_format: LogFormat = "text", quiet: Quiet = False,
    summary_json: SummaryJson = None, metrics: Metrics = None, log_json: LogJson = None,
# fmt: on
) -> None:
    """Find the masks of every image in SOURCE; run it again to resume after any interruption.

    Images that have rows in OUT are skipped. Exit codes: 0 all done, 1 done but some images failed,
    2 wrong usage, 3 no image could be processed, 4 another process uses OUT, 7 OUT could not be
    written, 8 a device failed or no worker could be started, 130 interrupted.
    """
    if fetch:
        fetch_for(model, weights, quiet=quiet)
    options = PredictOptions(
        source=tuple(source), out=out, model=model, weights=weights, device=device, zones=zones,
        replicas=replicas, workers=workers, chunk_timeout=chunk_timeout, engine=engine,
        min_area=min_area, time_pattern=time_pattern, partition_by=partition_by,
        **least_scores(min_score, _DEFAULT.min_score), max_masks=max_masks, max_pixels=max_pixels,
        limit=limit, max_time=seconds(max_time), shard=shard, strict_images=strict_images, tta=tta,
        chunk_size=chunk_size, column=column, key_prefix=key_prefix, same_source=same_source,
        retry_failed=retry_failed, prune_missing=prune_missing, dry_run=dry_run, wait=wait,
        count_ahead=not quiet, max_memory=size(max_memory), categories=category_names(categories),
        slice=slicing, batch_size=parsed_batch_size(batch_size), command_line=tuple(sys.argv[1:]),
        every=every, stream=stream, include=tuple(include or ()), exclude=tuple(exclude or ()),
        newer_than=newer_than, older_than=older_than, precision=precision,
        all_folders=all_folders, runtime=runtime, merge_class_agnostic=merge_class_agnostic,
        skip_static=skip_static, static_threshold=static_threshold, static_age=age(static_age),
    )  # fmt: skip
    run_and_report(options, Reports(log_format, quiet, summary_json, metrics, log_json), nice)
