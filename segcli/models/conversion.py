"""Conversion of published checkpoints to segcli's weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segcli.errors import UsageError
from segcli.models import registry
from segcli.models.checkpoint import save


@dataclass(frozen=True, slots=True)
class Converted:
    """Weights of `model` ("FAMILY/VARIANT") at `path`."""

    model: str
    path: Path
    tensors: int


def convert(
    model: str,
    checkpoint: Path,
    *,
    out: Path | None = None,
    notes: Mapping[str, str] | None = None,
    half: bool = False,
) -> Converted:
    """Write `checkpoint` as safetensors to `out`, by default where `model` is found.

    `notes` are added to the header and override the checkpoint's name and checksum. Raises
    UsageError if the checkpoint belongs to another model, or if the file exists.
    """
    found = registry.locate(model, str(checkpoint))
    if found.native:
        raise UsageError(f"{checkpoint} is already in segcli's format; use it as `weights`")
    target = out or registry.kept(found.info)
    if target.exists():
        raise UsageError(f"{target} exists; remove it, or choose another file as `out`")
    loaded = registry.load_model(model, str(checkpoint))
    facts = {"source": checkpoint.name, "source_sha256": loaded.sha256, **(notes or {})}
    state = loaded.model.state_dict()
    save(target, state, loaded.info, notes=facts, half=half)
    return Converted(f"{loaded.info.family}/{loaded.info.variant}", target, len(state))
