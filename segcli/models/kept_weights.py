"""Installed weights: those in packages and those in the weights folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from segcli.errors import UsageError
from segcli.files import reporting
from segcli.models import registry
from segcli.models.checkpoint import DATA_SHA256, read_info, read_metadata
from segcli.models.fetch import PART


@dataclass(frozen=True, slots=True)
class Kept:
    """One file. `kind`: shipped, fetched, converted, or unfinished (an interrupted download).

    `sha256` is that of the checkpoint from which the weights were converted.
    """

    model: str
    path: Path
    size: int
    kind: str
    licence: str | None = None
    source: str | None = None
    sha256: str | None = None


def kept_weights() -> list[Kept]:
    """All installed weights, by model; reads only headers."""
    found: list[Kept] = []
    for family in registry.families().values():
        ships = registry.shipped(family.name)
        for info in family.variants.values():
            name = f"{family.name}/{info.variant}"
            if info.variant in ships:
                found.append(_describe(name, ships[info.variant], "shipped"))
            if (path := registry.kept_file(info)) is not None:
                found.append(_describe(name, path, "converted"))
            if (path := registry.kept_file(info, PART)) is not None:
                found.append(Kept(name, path, path.stat().st_size, "unfinished"))
    return found


def _describe(model: str, path: Path, kind: str) -> Kept:
    notes = read_metadata(path) or {}
    return Kept(
        model,
        path,
        path.stat().st_size,
        "fetched" if kind == "converted" and "source_url" in notes else kind,
        notes.get("licence"),
        notes.get("source_url") or notes.get("source"),
        notes.get("source_sha256"),
    )


def remove(model: str) -> list[Kept]:
    """Delete the weights and an unfinished download of `model` from the weights folder.

    Raises UsageError if there are none; shipped weights are never deleted.
    """
    _, info = registry.find(model)
    name = f"{info.family}/{info.variant}"
    own = [kept for kept in kept_weights() if kept.model == name]
    found = [kept for kept in own if kept.kind != "shipped"]
    if not found:
        why = "they ship with the package" if own else "there are none"
        raise UsageError(f"no weights of {name} to remove from {registry.weights_folder()}: {why}")
    for kept in found:
        with reporting(kept.path):
            kept.path.unlink(missing_ok=True)
    return found


def problem_of(kept: Kept) -> str | None:
    """The problem of a file (its length, checksum or model); None if it is intact."""
    if kept.kind == "unfinished":
        return "the download is not finished; fetch it again to continue"
    try:
        info = read_info(kept.path)
        if info is None:
            return "it has no segcli weights; remove it and fetch or convert it again"
        if f"{info.family}/{info.variant}" != kept.model:
            return f"it has weights of {info.family}/{info.variant}"
        with kept.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
            known = header.get("__metadata__", {}).get(DATA_SHA256)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (UsageError, OSError, ValueError) as error:
        return str(error)
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    expected = 8 + length + max((entry["data_offsets"][1] for entry in tensors), default=0)
    if kept.size != expected:
        return f"it has {kept.size:,} bytes instead of {expected:,}; remove it and fetch it again"
    if known is not None and digest != known:
        return "its tensors have changed since it was written; remove it and fetch it again"
    return None
