"""`segcli weights`: fetch, convert and list weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segcli.cli.options import Json, Quiet, Wide
from segcli.errors import ExitCode
from segcli.plurals import counted

if TYPE_CHECKING:
    from segcli.models.kept_weights import Kept

app = typer.Typer(no_args_is_help=True)

Checkpoint = Annotated[Path, typer.Argument(help="A published .pth, .pkl or .safetensors file.")]
Model = Annotated[
    str, typer.Option(metavar="FAMILY[/VARIANT]", help="The model; `segcli models` lists them.")
]
Names = Annotated[
    list[str],
    typer.Argument(metavar="FAMILY[/VARIANT]", help="Models; `segcli models` lists them."),
]
Some = Annotated[
    list[str] | None,
    typer.Argument(metavar="FAMILY[/VARIANT]", help="Models; by default all installed ones."),
]
Out = Annotated[
    Path | None, typer.Option(help="The file to write; by default where --model finds it.")
]
Half = Annotated[bool, typer.Option("--half", help="Store float16, at half the size.")]
Accept = Annotated[
    bool,
    typer.Option("--accept-licence", help="Accept licences that permit only non-commercial use."),
]
Quantizable = Annotated[
    str | None,
    typer.Argument(metavar="FAMILY[/VARIANT]", help="The model; by default the default model."),
]
Calibrate = Annotated[
    list[str],
    typer.Option(
        metavar="SOURCE",
        help="Images of the kind that the model will see, without annotations; can be repeated.",
    ),
]
QuantizedOut = Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")]
Source = Annotated[
    str | None,
    typer.Option(
        "--weights", metavar="FILE|NAME", help="The weights; by default those of the model."
    ),
]
Images = Annotated[
    int, typer.Option(min=8, metavar="N", help="Use at most this many images, evenly chosen.")
]


@app.callback()
def _weights() -> None:
    """Fetch, convert, quantize and list weights.

    Weights are stored in the folder $SEGCLI_WEIGHTS, by default ~/.local/share/segcli/weights.
    $SEGCLI_WEIGHTS_MIRROR is an address or a folder to fetch from instead; it has the file of
    https://HOST/PATH at HOST/PATH.
    """


@app.command("fetch")
def fetch(names: Names, accept_licence: Accept = False, quiet: Quiet = False) -> None:
    """Download published weights, check length and checksum, and convert them.

    An interrupted download continues where it ended.
    """
    from segcli.cli.fetching import fetch_model
    from segcli.models.fetch import fetchable

    for name in names:
        fetchable(name, accept_licence=accept_licence)  # report an error before the first download
    for name in names:
        fetch_model(name, accept_licence=accept_licence, quiet=quiet)


@app.command("list")
def list_(as_json: Json = False, wide: Wide = False) -> None:
    """List installed weights: shipped, fetched and converted ones, and unfinished downloads."""
    from segcli.cli.tables import TablePrinter
    from segcli.models.kept_weights import kept_weights

    found = kept_weights()
    if as_json:
        typer.echo(json.dumps([_facts(kept) for kept in found], indent=2))
        return
    printer = TablePrinter(wide=wide)
    titles = ("model", "MB", "kind", "licence", "sha256 of the source", "file")
    rows = [
        (
            kept.model,
            f"{kept.size / 1e6:.1f}",
            kept.kind,
            kept.licence or "",
            kept.sha256 or "" if wide else (kept.sha256 or "")[:12],
            str(kept.path),
        )
        for kept in found
    ]
    optional = ("file", "sha256 of the source", "licence")
    printer.table(titles, rows, optional=optional, words=titles[2:])
    printer.end()


def _facts(kept: Kept) -> dict[str, Any]:
    return {
        "model": kept.model,
        "path": str(kept.path),
        "size": kept.size,
        "kind": kept.kind,
        "licence": kept.licence,
        "source": kept.source,
        "source_sha256": kept.sha256,
    }


@app.command("check")
def check(names: Some = None) -> None:
    """Compare installed weights with their checksums; exit 1 if one differs."""
    from segcli.models.kept_weights import kept_weights, problem_of
    from segcli.models.registry import find

    infos = [find(name)[1] for name in names or ()]
    wanted = {f"{info.family}/{info.variant}" for info in infos}
    found = [kept for kept in kept_weights() if not wanted or kept.model in wanted]
    problems = 0
    for kept in found:
        problem = problem_of(kept)
        problems += problem is not None
        typer.echo(f"{kept.model}: {problem or 'ok'} ({kept.path})")
    for name in sorted(wanted - {kept.model for kept in found}):
        problems += 1
        typer.echo(f"{name}: no weights are installed")
    if problems:
        raise typer.Exit(ExitCode.SOME_FAILED)


@app.command("remove")
def remove(names: Names) -> None:
    """Delete weights from the weights folder; shipped weights stay."""
    from segcli.models.kept_weights import remove as delete

    for name in names:
        for kept in delete(name):
            typer.echo(f"removed {kept.path} ({kept.size / 1e6:.1f} MB)")


@app.command("convert")
def convert(checkpoint: Checkpoint, model: Model, out: Out = None, half: Half = False) -> None:
    """Convert a published CHECKPOINT to segcli's format; nothing in it is executed."""
    from segcli.models import registry
    from segcli.models.conversion import convert as convert_checkpoint

    made = convert_checkpoint(model, checkpoint, out=out, half=half)
    family, info = registry.find(made.model)
    is_found_by_name = made.path == registry.installed(family, info)
    use = f"--model {made.model}" if is_found_by_name else f"--weights {made.path}"
    size_mb = made.path.stat().st_size / 1e6
    tensors = counted(made.tensors, "tensor")
    typer.echo(f"{made.path}: {tensors} of {made.model}, {size_mb:.1f} MB; use it with {use}")


@app.command("quantize")
def quantize(
    calibrate: Calibrate,
    out: QuantizedOut,
    model: Quantizable = None,
    weights: Source = None,
    images: Images = 300,
    quiet: Quiet = False,
) -> None:
    """Add an int8 form to the weights of a model, for predict --precision int8.

    It needs the extra openvino. Compare both precisions on annotated images with segcli eval.
    """
    from segcli.pipeline.quantize import quantize as make

    def note(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    made = make(model, calibrate, out, weights=weights, images=images, note=note)
    skipped = f" ({made.skipped} could not be read)" if made.skipped else ""
    typer.echo(
        f"{made.path}: {made.model} with an int8 form, {made.path.stat().st_size / 1e6:.1f} MB, "
        f"calibrated on {counted(made.images, 'image')}{skipped}; use it with --weights "
        f"{made.path} --precision int8"
    )
