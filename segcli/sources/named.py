"""Paths in lists and manifests: files, frames of videos, and images inside archives."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from segcli.keys import container_of, key_from_path, prefixed, split_frame
from segcli.sources.archive import archive_images
from segcli.sources.folder import is_archive_name, is_video_name, sample_at
from segcli.types import Sample


def sample_named(written: str, folder: str, prefix: str = "") -> Sample:
    """The sample of a path that is written in a list or manifest in `folder`.

    `clip.mp4#frame=125` is a frame, and `a.tar/cam1/0001.jpg` an image in an archive, where no file
    has that name. Images of one archive are found faster when they follow one another.
    """
    key = prefixed(key_from_path(written), prefix)
    sample = sample_at(resolve(written, folder), key=key)
    if sample.size_bytes is not None:
        return sample
    return _frame(written, folder, prefix) or _member(written, folder, key) or sample


def resolve(written: str, folder: str) -> str:
    """The path of a file that is written in a list or manifest in `folder`."""
    beside = os.path.join(folder, written)
    if not os.path.isabs(written):
        try:
            if not os.path.lexists(beside) and os.path.lexists(written):
                return os.path.abspath(written)
        except ValueError:  # an embedded NUL: there is no such file, and reading reports it
            return beside
    return beside


def _frame(written: str, folder: str, prefix: str) -> Sample | None:
    clip, frame = split_frame(written)
    if frame is None or not is_video_name(clip):
        return None
    key = prefixed(key_from_path(clip), prefix)
    video = sample_at(resolve(clip, folder), key=key)
    if video.size_bytes is None:
        video = _member(clip, folder, key) or video
    return replace(video, key=f"{key}#frame={frame}", frame=frame)


def _member(written: str, folder: str, key: str) -> Sample | None:
    outer = container_of(written)
    while outer is not None and is_archive_name(outer):
        archive = sample_at(resolve(outer, folder), key="")
        if archive.size_bytes is not None:
            inside = _inside(archive.path, archive.size_bytes, archive.mtime_ns)
            found = inside.get(key_from_path(written[len(outer) :]))
            return None if found is None else replace(found, key=key)
        below = container_of(written[len(outer) :])  # a folder that is named like an archive
        outer = None if below is None else outer + below
    return None


@lru_cache(maxsize=4)
def _inside(path: str, size_bytes: int, mtime_ns: int | None) -> Mapping[str, Sample]:
    return {sample.key: sample for sample in archive_images(path, "")}
