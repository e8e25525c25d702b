"""Times and cameras of the images of a source, by their keys in an output."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from segcli.errors import ImageError
from segcli.images.probe import probe
from segcli.keys import first_spelling, key_from_path, path_from_key, prefixed
from segcli.machine import cores
from segcli.sources import open_source, read
from segcli.types import Sample

COLUMNS = {"key": "VARCHAR", "taken": "VARCHAR", "camera": "VARCHAR"}
_CHUNK = 1000
_HEAD = 2**18  # bytes: in a JPEG, EXIF comes before the pixels and has at most 64 KiB

Line = tuple[str, str | None, str | None]
"""(key, time as EXIF writes it, camera)"""


def exif_of(location: str, roots: Mapping[str, Sequence[str]]) -> Iterator[Line]:
    """One line for each key that an image of the source may have in the output.

    A manifest with the columns `taken` or `camera` is believed, else the headers of the files are
    read. `roots` are the output's source roots by key prefix. Raises UsageError.
    """
    source = open_source(location)
    known = {"taken", "camera"} & set(source.carried)
    samples = iter(source)
    seen: set[str] = set()
    with ThreadPoolExecutor(len(cores())) as pool:
        while chunk := list(islice(samples, _CHUNK)):
            facts = map(_carried, chunk) if known else pool.map(_read, chunk)
            for sample, (taken, camera) in zip(chunk, facts, strict=True):
                for key in _keys(sample, roots):
                    if key not in seen:
                        seen.add(key)
                        yield key, taken, camera


def _keys(sample: Sample, roots: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Of the sample as it is, and as it is called below the roots of the run."""
    path = os.path.realpath(sample.path) if sample.path else ""
    for prefix, found in roots.items():
        bare = [sample.key]
        bare += [key_from_path(os.path.relpath(path, r)) for r in found if _below(path, r)]
        for key in bare:
            yield prefixed(key, prefix)
            yield prefixed(first_spelling(path_from_key(key)), prefix)


def _below(path: str, root: str) -> bool:
    return path.startswith(root.rstrip("/") + "/")


def _carried(sample: Sample) -> tuple[str | None, str | None]:
    taken, camera = sample.carried.get("taken"), sample.carried.get("camera")
    return (
        taken if isinstance(taken, str) else None,
        camera if isinstance(camera, str) else None,
    )


def _read(sample: Sample) -> tuple[str | None, str | None]:
    try:
        head = read(sample, most=_HEAD)
        if not head.startswith(b"\xff\xd8") and len(head) == _HEAD:
            head = read(sample)
        header = probe(head, key=sample.key)
    except ImageError:
        return None, None
    return header.taken, header.camera
