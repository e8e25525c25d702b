"""What a manifest says of an image, or of a frame of a video."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

from segcli.cloud.urls import is_url, shown
from segcli.errors import ImageError
from segcli.images import decode
from segcli.images.probe import probe
from segcli.sources import clip_file, is_clip, read
from segcli.sources.archive import path_inside
from segcli.types import Member, Sample

Row = dict[str, Any]

_OF_CONTENT = (
    "height", "width", "format", "sha256", "taken", "camera", "error", "warning", "frame", "time_s",
)  # fmt: skip


def described(
    chunk: Sequence[Sample],
    known: Mapping[str, Row],
    pool: ThreadPoolExecutor,
    folder: Path,
    header_only: bool,
) -> list[Row]:
    """The rows of the samples, in order; `fresh` if they are not `known`.

    Frames of a video are decoded in one go, and always, as they have no headers.
    """
    rows: list[Row] = []
    for sample in chunk:
        path = path_of(sample, folder)
        same = {"path": path, "size_bytes": sample.size_bytes, "mtime_ns": sample.mtime_ns}
        before = known.get(path)
        if before is not None and all(before[key] == value for key, value in same.items()):
            rows.append({**before, "fresh": False})
        else:
            rows.append({**same, "fresh": True})
    fresh = [(s, row) for s, row in zip(chunk, rows, strict=True) if row["fresh"]]

    def fill(group: Sequence[tuple[Sample, Row]]) -> None:
        samples = [sample for sample, _ in group]
        if samples[0].frame is None:
            found: Iterator[Row] = (content(sample, header_only) for sample in samples)
        else:
            found = _frames(samples)
        for (_, row), values in zip(group, found, strict=True):
            row.update(values)

    list(pool.map(fill, _groups(fresh)))
    return rows


def _groups(fresh: Sequence[tuple[Sample, Row]]) -> Iterator[list[tuple[Sample, Row]]]:
    """The frames of one video together, everything else alone."""

    def clip_of(pair: tuple[Sample, Row]) -> tuple[str, Member | None] | None:
        return None if pair[0].frame is None else (pair[0].path, pair[0].member)

    for clip, group in groupby(fresh, clip_of):
        if clip is not None:
            yield list(group)
        else:
            yield from ([pair] for pair in group)


def content(sample: Sample, header_only: bool) -> Row:
    """What is in the file of an image."""
    row: Row = dict.fromkeys(_OF_CONTENT)
    try:
        if is_clip(sample):
            from segcli.video.timeline import why_unreadable

            raise ImageError(why_unreadable(clip_file(sample)))
        data = read(sample)
        row["sha256"] = hashlib.sha256(data).hexdigest()
        header = probe(data, key=sample.key)
        row |= {"height": header.height, "width": header.width}
        row |= {"format": header.format, "taken": header.taken, "camera": header.camera}
        if not header_only:
            image = decode(data, key=sample.key)
            row["height"], row["width"] = image.original_size
            row["warning"] = "; ".join(image.warnings) or None
    except ImageError as error:
        row["error"] = str(error).encode("utf-8", "backslashreplace").decode()
    return row


def _frames(samples: Sequence[Sample]) -> Iterator[Row]:
    """Of frames of one video, in rising order; the hash is that of the decoded pixels."""
    from segcli.video.frames import read_frames  # PyAV: only where there is a video

    wanted = [sample.frame for sample in samples if sample.frame is not None]
    blank: Row = {**dict.fromkeys(_OF_CONTENT), "format": "video"}
    taken = samples[0].carried.get("taken")
    left = list(wanted)
    try:
        for frame in read_frames(clip_file(samples[0]), wanted):
            row = {**blank, "taken": taken, "frame": frame.index, "time_s": frame.time_s}
            if frame.pixels is None:
                row["error"] = frame.error
            else:
                row["height"], row["width"] = frame.pixels.shape[:2]
                row["sha256"] = hashlib.sha256(frame.pixels.tobytes()).hexdigest()
                row["warning"] = "damaged: data of the frame are missing" if frame.damaged else None
            left.pop(0)
            yield row
    except ImageError as error:
        for index in left:
            yield {**blank, "frame": index, "error": str(error)}


def path_of(sample: Sample, folder: Path) -> str:
    """The path as `predict` resolves it: relative to the manifest's folder, or absolute. A URL
    without what could be a credential."""
    url = is_url(sample.path)
    path = shown(sample.path) if url else os.path.abspath(sample.path)
    if sample.member is not None:
        path += f"/{path_inside(sample.member)}"
    if sample.frame is not None:
        path += f"#frame={sample.frame}"
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return sample.key  # not valid text: only a folder can list such a file
    if url:
        return path
    inside = os.path.commonpath([path, folder]) == str(folder)
    return os.path.relpath(path, folder) if inside else path
