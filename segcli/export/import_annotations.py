"""Annotations become an output like any other, so that viz and stats work on ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from segcli.errors import ImageError, UsageError
from segcli.export.annotations import Annotations, read_coco, read_labelme, read_yolo
from segcli.sources import SUFFIXES, open_source, read
from segcli.store import Settings, open_output
from segcli.types import Record

_CHUNK = 500
SOURCES = ("coco", "yolo", "labelme")


def import_annotations(
    kind: str, path: Path, out: Path, *, images: Path | None = None
) -> tuple[int, int, dict[str, int]]:
    """(images, masks, what was skipped and how often). Raises UsageError, OutputError.

    `images` is the folder of the pictures: YOLO needs it for their sizes. Every mask has the
    score 1, unless the file has one. An output that exists is refused: annotations do not resume.
    """
    if out.exists():
        raise UsageError(f"{out} exists already; import into a new directory")
    found = _read(kind, path, images)
    root = str(images.resolve()) if images else found.root
    facts = Settings(
        {"source_root": root, "imported_from": kind},
        {"default_score": 0.0, "annotations": found.root},
    )
    pictures = masks = 0
    with open_output(out, facts, carried={}, categories=found.categories) as output:
        for chunk in _chunks(found.records):
            output.commit(chunk)
            pictures += len(chunk)
            masks += sum(len(record.segments) for record in chunk)
    return pictures, masks, found.skipped


def _read(kind: str, path: Path, images: Path | None) -> Annotations:
    if kind == "coco":
        return read_coco(path)
    if kind == "labelme":
        return read_labelme(path)
    if images is None:
        raise UsageError("YOLO labels have no sizes: give the folder of the pictures, --images")
    return read_yolo(path, _sizes(images))


class _Sizes:
    """Finds the image that a label belongs to, and what its header says of its size."""

    def __init__(self, images: Path) -> None:
        self._samples = {
            sample.key.rpartition(".")[0]: sample for sample in open_source(str(images))
        }
        self._images = images

    def __call__(self, name: str) -> tuple[str, int, int]:
        from segcli.images.probe import probe
        from segcli.sources import key_from_path, path_from_key

        sample = self._samples.get(key_from_path(name))
        if sample is None:
            known = " ".join(sorted(SUFFIXES)[:5])
            raise UsageError(f"no picture {name}.* ({known} ...) in {self._images} for the label")
        try:
            header = probe(read(sample), key=sample.key)
        except ImageError as error:
            raise UsageError(f"{sample.path}: {error}") from None
        return path_from_key(sample.key), header.height, header.width


def _sizes(images: Path) -> _Sizes:
    return _Sizes(images)


def _chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    while chunk := list(islice(records, _CHUNK)):
        yield chunk
