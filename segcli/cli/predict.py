"""`segcli predict`: images in, masks in Parquet out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from segcli.errors import ExitCode, UsageError

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A folder, an image, a text file of paths, or a Parquet manifest."
    ),
]
Out = Annotated[Path, typer.Option(help="The folder of parts; name it *.parquet.")]
Model = Annotated[str | None, typer.Option(metavar="FAMILY[/VARIANT]", help="See `segcli models`.")]
Weights = Annotated[
    str | None, typer.Option(metavar="PATH|NAME", help="Default: what ships for the model.")
]
Device = Annotated[
    str, typer.Option(metavar="NAME,NAME", help="auto, all, or of cpu, cuda, cuda:N, several.")
]
Replicas = Annotated[
    int, typer.Option(min=0, help="Worker processes for each device; 0: this process alone.")
]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(help="ray: on the cluster at RAY_ADDRESS; only this process writes to OUT."),
]
Workers = Annotated[
    int | None, typer.Option(help="Decode threads of each; default: the cores, divided.")
]
MaxMemory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Of all workers, such as 8GB: bounds the images that wait."),
]
ChunkTimeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="A worker without a finished batch for so long is killed; default: by its speed.",
    ),
]
BatchSize = Annotated[str, typer.Option(metavar="N|auto", help="Images per batch, at most.")]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(help="auto: bfloat16 where the device has it; on resume what the parts have."),
]
MinScore = Annotated[float, typer.Option(help="Masks with a lower score are dropped.")]
MaxMasks = Annotated[int, typer.Option(help="Masks per image, at most; the best are kept.")]
MaxPixels = Annotated[int, typer.Option(help="Larger images become failed rows, undecoded.")]
ChunkSize = Annotated[
    int | None, typer.Option(help="Images per part; default: about a minute of work.")
]
Categories = Annotated[
    str | None, typer.Option(metavar="NAME,NAME", help="Only these; default: all of the model's.")
]
Column = Annotated[
    str | None, typer.Option(help="The manifest's column with paths or encoded images.")
]
KeyPrefix = Annotated[
    str, typer.Option(help="Put before every key: keeps several sources apart in one output.")
]
SameSource = Annotated[
    bool, typer.Option("--same-source", help="The archive only moved: its keys are the same.")
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Do the images again that failed before.")
]
Limit = Annotated[int | None, typer.Option(help="Stop after this many images in this run.")]
Shard = Annotated[
    str | None,
    typer.Option(metavar="I/N", help="Part I of N, from 0/N, for job arrays; all into one --out."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait while another process works on the output.")
]
LogFormat = Annotated[
    Literal["text", "json"], typer.Option(help="json: one object per line on stdout.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")]


def predict(
    source: Source,
    out: Out,
    model: Model = None,
    weights: Weights = None,
    device: Device = "auto",
    engine: Engine = "local",
    replicas: Replicas = 1,
    workers: Workers = None,
    max_memory: MaxMemory = None,
    chunk_timeout: ChunkTimeout = None,
    batch_size: BatchSize = "auto",
    precision: Precision = "auto",
    min_score: MinScore = 0.05,
    max_masks: MaxMasks = 100,
    max_pixels: MaxPixels = 200_000_000,
    chunk_size: ChunkSize = None,
    categories: Categories = None,
    column: Column = None,
    key_prefix: KeyPrefix = "",
    same_source: SameSource = False,
    retry_failed: RetryFailed = False,
    limit: Limit = None,
    shard: Shard = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
) -> None:
    """Find the masks of every image in SOURCE; run it again to go on after anything.

    Images that have rows in OUT are not done again. Exit codes: 0 all done, 1 done but images
    failed, 2 wrong usage, 3 nothing could be done, 4 another process works on OUT, 7 OUT could not
    be written, 8 a device has failed or no worker can be started, 130 interrupted.
    """
    _predict(dict(locals()))


def _predict(given: dict[str, Any]) -> None:
    """`given` are the options by their names, as the user wrote them."""
    # Before torch is loaded: threads that wait should sleep. Where other work shares the cores,
    # spinning costs up to twenty times the speed on small images, and gains nothing measurable.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from segcli.cli.progress import failed_query, reporter
    from segcli.pipeline import PredictOptions, predict
    from segcli.pipeline.resources import parse_size

    log_format, quiet, memory = given.pop("log_format"), given.pop("quiet"), given["max_memory"]
    given["batch_size"] = _batch_size(given["batch_size"])
    given["categories"] = _names(given["categories"])
    given["max_memory"] = None if memory is None else parse_size(memory)
    options = PredictOptions(**given, count_ahead=not quiet, command_line=tuple(sys.argv[1:]))
    with reporter(log_format, quiet=quiet) as report:
        summary = predict(options, report=report)
    if summary.failed:
        if quiet:
            told = f"{summary.failed} of {summary.images} images failed; DuckDB lists them all by: "
            typer.echo(told + failed_query(summary.out), err=True)
        raise typer.Exit(ExitCode.SOME_FAILED)


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--batch-size {text}: expected a whole number of at least 1, or auto")
    return int(text)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())
