"""Where the bytes of a video are: on disk, behind a URL, or inside an archive."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from segcli.cloud.object_file import ObjectFile
from segcli.cloud.urls import url_of

AT_ONCE = 2 << 20
"""Bytes of an object that one request brings."""


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A video: `name` is its path or URL, or, if it is inside an archive, its name there, and
    `inside` opens its bytes as a seekable file. `inside` raises ImageError."""

    name: str
    inside: Callable[[], IO[bytes]] | None = None

    @property
    def is_path(self) -> bool:
        """Whether it is a file on disk."""
        return self.inside is None and url_of(self.name) is None

    def open(self) -> IO[bytes]:
        """Raises OSError, and ImageError for what cannot be read from an archive."""
        if self.inside is not None:
            return self.inside()
        url = url_of(self.name)
        return open(self.name, "rb") if url is None else io.BufferedReader(ObjectFile(url), AT_ONCE)


def video_file(video: str | VideoFile) -> VideoFile:
    """The same from a path or a URL."""
    return VideoFile(video) if isinstance(video, str) else video
