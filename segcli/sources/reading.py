"""Read the encoded bytes of a sample from disk, an archive or a URL."""

from __future__ import annotations

import os
import stat

from segcli.cloud.urls import is_url
from segcli.errors import ImageError
from segcli.sources.archive import is_archive, why_unreadable
from segcli.sources.archive_files import read_member
from segcli.sources.bucket import read_object
from segcli.types import Sample

MAX_FILE_BYTES = 2**31
"""A larger file is refused: an uncompressed image within the pixel limit is smaller."""


def read(sample: Sample, *, most: int = -1) -> bytes:
    """The encoded image: the whole file, or its first `most` bytes.

    Raises ImageError with a reason for the row.
    """
    if sample.data is not None:
        return sample.data
    if sample.member is not None or is_archive(sample):
        refuse_growing(sample)
    if is_archive(sample):
        raise ImageError(why_unreadable(sample))
    if sample.member is not None:
        data = read_member(sample, sample.member)
        return data if most < 0 else data[:most]
    if is_url(sample.path):
        return read_object(sample, most=most, limit=MAX_FILE_BYTES)
    if not sample.path:
        raise ImageError("the manifest has no path in this row")
    try:
        with open(sample.path, "rb", opener=_open_without_waiting) as file:
            _require_file(sample, os.fstat(file.fileno()))
            return file.read(most)
    except FileNotFoundError:
        raise ImageError(_not_found(sample)) from None
    except MemoryError:
        raise ImageError("not enough memory to read the file") from None
    except ValueError:
        raise ImageError("the path holds a NUL byte; no file has such a name") from None
    except IsADirectoryError:
        raise ImageError(_directory(sample)) from None
    except OSError as error:
        raise ImageError(f"cannot read the file: {error.strerror or error}") from None


def _open_without_waiting(path: str, flags: int) -> int:
    """Open without blocking: a named pipe without a writer would block forever."""
    return os.open(path, flags | os.O_NONBLOCK)


def _require_file(sample: Sample, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ImageError("not a regular file but a device, a pipe or a socket")
    if found.st_size > MAX_FILE_BYTES:
        raise ImageError(f"the file has {found.st_size:,} bytes; the limit is {MAX_FILE_BYTES:,}")
    _require_size(sample, found.st_size)


def _require_size(sample: Sample, size: int) -> None:
    if sample.size_bytes is not None and size > sample.size_bytes:
        raise ImageError(
            f"still being written: {sample.size_bytes:,} bytes when it was listed, "
            f"{size:,} when it was read"
        )


def refuse_growing(sample: Sample) -> None:
    """Raises ImageError if a video or an archive on disk has grown since it was listed.

    Of an image in an archive, only the time of the archive is known.
    """
    if sample.data is not None or is_url(sample.path):
        return
    try:
        found = os.stat(sample.path)
    except (OSError, ValueError):
        return  # opening it gives the reason
    if sample.member is None:
        _require_size(sample, found.st_size)
    elif sample.mtime_ns is not None and found.st_mtime_ns != sample.mtime_ns:
        raise ImageError("still being written: the archive was modified after it was listed")


def _directory(sample: Sample) -> str:
    try:
        os.scandir(sample.path).close()
    except OSError as error:
        return f"this directory cannot be listed ({error.strerror}); images in it are not processed"
    return "a directory, not an image file"


def _not_found(sample: Sample) -> str:
    if os.path.islink(sample.path):
        return "a broken symbolic link"
    if sample.size_bytes is not None:
        return "the file has vanished since it was listed"
    return f"no such file: {sample.path}"
