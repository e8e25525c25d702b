"""`segcli weights`: published checkpoints become segcli's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segcli.errors import UsageError

app = typer.Typer(help="Convert published checkpoints.", no_args_is_help=True)

Checkpoint = Annotated[Path, typer.Argument(help="A published .pth, .pkl or .safetensors file.")]
Model = Annotated[
    str, typer.Option(metavar="FAMILY[/VARIANT]", help="The model; `segcli models` lists them.")
]
Out = Annotated[
    Path | None, typer.Option(help="The file to write; by default the one that --model looks for.")
]
Half = Annotated[bool, typer.Option("--half", help="Store float16, at half the size.")]


@app.callback()
def _weights() -> None:
    """Convert published checkpoints."""


@app.command("convert")
def convert(checkpoint: Checkpoint, model: Model, out: Out = None, half: Half = False) -> None:
    """Write a published CHECKPOINT as segcli's safetensors; nothing in it is executed."""
    from segcli.models import registry
    from segcli.models.checkpoint import save

    found = registry.locate(model, str(checkpoint))
    if found.native:
        raise UsageError(f"{checkpoint} is already in segcli's format; use it with --weights")
    target = out or registry.kept(found.info)
    if target.exists():
        raise UsageError(f"{target} exists; remove it, or name another file with --out")
    loaded = registry.load_model(model, str(checkpoint))
    notes = {"source": checkpoint.name, "source_sha256": loaded.sha256}
    target.parent.mkdir(parents=True, exist_ok=True)
    state = loaded.model.state_dict()
    save(target, state, loaded.info, notes=notes, half=half)
    name = f"{loaded.info.family}/{loaded.info.variant}"
    ships = loaded.info.variant in registry.shipped(loaded.info.family)
    found_by_name = target == registry.kept(loaded.info) and not ships
    use = f"--model {name}" if found_by_name else f"--weights {target}"
    size_mb = target.stat().st_size / 1e6
    typer.echo(f"{target}: {len(state)} tensors of {name}, {size_mb:.1f} MB; use it with {use}")
