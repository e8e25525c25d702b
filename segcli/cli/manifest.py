"""`segcli manifest`: list an archive as one Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segcli.cli.options import Every, Threads, Wait, comma_list
from segcli.cli.output_checks import refuse_places
from segcli.errors import ExitCode, UsageError
from segcli.plurals import counted

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE", help="Folders, images, videos, archives or text files of paths."
    ),
]
Out = Annotated[Path, typer.Option(help="The manifest to write, a Parquet file.")]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="0.8,0.1,0.1", help="Split the images into train, val and test by these shares."
    ),
]
HeaderOnly = Annotated[
    bool,
    typer.Option(
        "--header-only", help="Read headers only; faster, but does not detect truncated files."
    ),
]


def manifest(
    source: Sources,
    out: Out = Path("manifest.parquet"),
    split: Split = None,
    workers: Threads = None,
    header_only: HeaderOnly = False,
    every: Every = "1s",
    wait: Wait = False,
) -> None:
    """List SOURCE with size, format, hash and time of every image; broken images are marked.

    Run it again to resume, or to add new images. Exit codes: 1 some images are broken, 4 another
    process writes the manifest, 7 it could not be written.
    """
    from segcli.manifest import make_manifest

    refuse_places({"--out": out})
    summary = make_manifest(
        source,
        out,
        every=every,
        split=_shares(split),
        workers=workers,
        header_only=header_only,
        wait=wait,
    )
    warned = f"{summary.warned} with a warning, " if summary.warned else ""
    repeated = f"{summary.repeated} listed again, " if summary.repeated else ""
    typer.echo(
        f"{counted(summary.images, 'image')}, {summary.broken} broken, {warned}{repeated}"
        f"{summary.known} known before -> {out}"
    )
    for name, count in summary.splits.items():
        typer.echo(f"{name}: {counted(count, 'image')}")
    if summary.broken:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _shares(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        return tuple(float(word) for word in comma_list(text, "--split"))
    except ValueError:
        raise UsageError(f"--split {text!r}: expected shares, e.g. 0.8,0.1,0.1") from None
