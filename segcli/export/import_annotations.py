"""Convert annotations to an output, so that viz and stats work on ground truth."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from segcli.annotations.coco_records import read_coco_records
from segcli.annotations.labelme import read_labelme
from segcli.annotations.records import Annotations
from segcli.annotations.yolo import read_yolo
from segcli.errors import UsageError
from segcli.files import reporting
from segcli.keypoints import recorded
from segcli.store import Settings, open_output
from segcli.types import Record

_CHUNK = 500
FORMATS = ("coco", "yolo", "labelme")


@dataclass(frozen=True, slots=True)
class Imported:
    """`scored`: the file gives scores of its own. `notes`: sentences on what was left out or put
    together."""

    kind: str
    images: int
    masks: int
    scored: bool
    notes: tuple[str, ...] = ()


def import_annotations(
    kind: str | None,
    path: Path,
    out: Path,
    *,
    images: Path | None = None,
    merge_categories: bool = False,
) -> Imported:
    """Write the annotations at `path` as an output. Raises UsageError, OutputError.

    `kind` is one of FORMATS, None: found out. `images` is the folder of the pictures: YOLO needs
    it for their sizes. Every mask has the score 1, unless the file has one. An output that exists
    is refused: annotations do not resume.
    """
    if out.exists():
        raise UsageError(f"{out} already exists; import into a new directory")
    kind = kind or format_of(path)
    found = _read(kind, path, images, merge_categories)
    root = str(images.resolve()) if images else found.root
    stated: dict[str, Any] = {"default_score": 0.0, "annotations": str(path.resolve())}
    if found.skeletons:
        stated["keypoints"] = recorded(found.skeletons)
    settings = Settings({"source_root": root, "imported_from": kind}, stated)
    pictures = masks = 0
    scored = found.scored
    with _whole(out) as unfinished:
        with open_output(unfinished, settings, carried={}, categories=found.categories) as output:
            for chunk in _chunks(found.records):
                output.commit(chunk)
                pictures += len(chunk)
                masks += sum(len(record.segments) for record in chunk)
                scored |= any(one.score < 1 for record in chunk for one in record.segments)
        if not pictures:
            raise UsageError(f"{path} has no image; expected {_EXPECTED}")
    return Imported(kind, pictures, masks, scored, found.sentences())


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """Where to write the output, which appears at `out` when it is complete. Raises OutputError."""
    home = out.with_name(f".{out.name}.import")
    with reporting(out):
        shutil.rmtree(home, ignore_errors=True)  # what a killed import left
        try:
            home.mkdir(parents=True)
            yield home / out.name
            os.rename(home / out.name, out)
        finally:
            shutil.rmtree(home, ignore_errors=True)


def format_of(path: Path) -> str:
    """What the annotations at `path` are, by their names. Raises UsageError where that is open."""
    if path.is_file() and path.suffix.lower() == ".json":
        return "coco"
    if path.is_dir():
        yolo = any(path.glob("*.y*ml")) or any(path.rglob("labels/"))
        labelme = next(path.rglob("*.json"), None) is not None
        if yolo != labelme:
            return "yolo" if yolo else "labelme"
    if not os.path.exists(path):
        raise UsageError(f"no such file or folder: {path}; expected {_EXPECTED}")
    raise UsageError(f"{path} can be several formats, or none; choose one with --from")


_EXPECTED = "COCO json, or a folder of YOLO or LabelMe labels"


def _read(kind: str, path: Path, images: Path | None, merge_categories: bool) -> Annotations:
    if kind == "coco":
        return read_coco_records(path, images=images, merge_categories=merge_categories)
    if kind == "labelme":
        return read_labelme(path, images)
    return read_yolo(path, images)


def _chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    while chunk := list(islice(records, _CHUNK)):
        yield chunk
