"""Images inside archives: listed and read in place, never extracted to disk.

The members of an uncompressed tar are read by their offsets, those of a zip through its directory.
A compressed tar is read as a stream, from front to back.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from threading import Lock
from typing import IO, Any

from segcli.errors import ImageError
from segcli.keys import key_from_path
from segcli.sources.folder import is_archive_name, is_image_name, sample_at
from segcli.types import Member, Sample

MAX_MEMBER_BYTES = 2**31
_MAX_RATIO = 1000  # deflate reaches 1032; images are hardly compressed at all
_BOMB_BYTES = 64 << 20  # a smaller member may have any ratio
_DAMAGED = ("InvalidHeaderError", "TruncatedHeaderError")  # the others mark the end
_KEPT_BYTES, _KEPT_ITEMS = 128 << 20, 256  # of a stream, passed over for a thread that comes later
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError)


def is_archive(sample: Sample) -> bool:
    """Whether the sample is an archive as a whole, not a member of it."""
    return sample.member is None and sample.data is None and is_archive_name(sample.path)


def with_members(
    samples: Iterator[Sample], opens: Callable[[Sample], bool] = lambda archive: True
) -> Iterator[Sample]:
    """The samples, with each archive replaced by the images in it.

    An archive that cannot be read to its end stays in the list, after the members that can be
    read, and becomes a failed row. An archive without any image does, too. One that `opens`
    refuses is left out.
    """
    for sample in samples:
        if not is_archive(sample):
            yield sample
            continue
        if not opens(sample):
            continue
        found = 0
        try:
            for member in _members(sample.path):
                found += 1
                yield _inside(sample, member)
        except _BROKEN:
            found = 0
        if not found:
            yield sample


def archive_images(path: str, key: str) -> Iterator[Sample]:
    """The images of one archive, whose own key is `key`, as far as it can be read."""
    samples = with_members(iter([sample_at(path, key=key)]))
    return (sample for sample in samples if sample.member is not None)


def why_unreadable(sample: Sample) -> str:
    """The reason for which an archive was listed as a whole."""
    try:
        count = sum(1 for _ in _members(sample.path))
    except _BROKEN as error:
        return f"the archive cannot be read to its end: {_words(error)}"
    return "no image in the archive" if not count else "the archive has changed; run again"


def read_member(sample: Sample, member: Member) -> bytes:
    """The encoded image. Raises ImageError."""
    if member.size > MAX_MEMBER_BYTES:
        raise ImageError(
            f"the member has {member.size:,} bytes; larger than {MAX_MEMBER_BYTES:,} is not read"
        )
    try:
        if member.offset is not None:
            with open(sample.path, "rb") as file:
                file.seek(member.offset)
                data = file.read(member.size)
        elif _is_zip(sample.path):
            data = _read_zipped(sample, member)
        else:
            data = _stream(sample.path, sample.mtime_ns).read(member)
    except FileNotFoundError:
        raise ImageError("the archive has vanished since it was listed") from None
    except (*_BROKEN, RuntimeError, NotImplementedError) as error:
        raise ImageError(f"cannot read it from the archive: {_words(error)}") from None
    if len(data) < member.size:
        raise ImageError(
            f"the archive ends inside of it: {len(data):,} of {member.size:,} bytes are there"
        )
    return data


def _inside(archive: Sample, member: Member) -> Sample:
    key = f"{archive.key}/{key_from_path(os.fsencode(member.name.removeprefix('./')))}"
    return replace(archive, key=key, member=member, size_bytes=member.size)


def _members(path: str) -> Iterator[Member]:
    """The images in the order of the archive. Raises one of _BROKEN where it is damaged."""
    if _is_zip(path):
        with zipfile.ZipFile(path) as archive:
            for number, info in enumerate(archive.infolist()):
                if not info.is_dir() and _is_wanted(info.filename):
                    yield Member(info.filename, number, info.file_size)
        return
    with _opened_tar(path) as (tar, is_stream):
        for number, entry in enumerate(_entries(tar)):
            if entry.isfile() and _is_wanted(entry.name):
                offset = None if is_stream else entry.offset_data
                yield Member(entry.name, number, entry.size, offset)


class _Header(tarfile.TarInfo):
    """tarfile takes a damaged header behind the first one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            if type(error).__name__ in _DAMAGED:
                raise tarfile.ReadError(str(error)) from None
            raise


def _entries(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (entry := tar.next()) is not None:
        yield entry
        tar.members = []  # type: ignore[attr-defined]  # it keeps every header otherwise


def _is_wanted(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    hidden = any(part.startswith(".") and part != ".." for part in parts)
    return is_image_name(os.fsencode(parts[-1])) and not hidden and "__MACOSX" not in parts


def _is_zip(path: str) -> bool:
    return path.lower().endswith(".zip")


@contextmanager
def _opened_tar(path: str) -> Iterator[tuple[tarfile.TarFile, bool]]:
    """The tar, and whether it can only be read from front to back."""
    lower = path.lower()
    if lower.endswith(".tar"):
        with (
            open(path, "rb") as file,
            tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as tar,
        ):
            yield tar, False
    elif lower.endswith((".zst", ".tzst")):
        with _unzstd(path) as file, tarfile.open(fileobj=file, mode="r|", tarinfo=_Header) as tar:
            yield tar, True
    else:
        with (
            open(path, "rb") as file,
            tarfile.open(fileobj=file, mode="r|*", tarinfo=_Header) as tar,
        ):
            yield tar, True


@contextmanager
def _unzstd(path: str) -> Iterator[Any]:
    import pyarrow as pa

    with pa.OSFile(path) as file, pa.CompressedInputStream(file, "zstd") as stream:
        yield stream


def _read_zipped(sample: Sample, member: Member) -> bytes:
    archive = _zip(sample.path, sample.mtime_ns)
    info = archive.infolist()[member.number]
    if info.file_size > _BOMB_BYTES and info.file_size > _MAX_RATIO * max(info.compress_size, 1):
        raise ImageError(
            f"{info.compress_size:,} bytes would become {info.file_size:,}: not an image but a bomb"
        )
    with archive.open(info) as file:
        return file.read(info.file_size)


@lru_cache(maxsize=4)
def _zip(path: str, mtime_ns: int | None) -> zipfile.ZipFile:
    """Kept open: its directory is read once, and threads may share it."""
    return zipfile.ZipFile(path)


@lru_cache(maxsize=2)
def _stream(path: str, mtime_ns: int | None) -> _Stream:
    return _Stream(path)


@dataclass(slots=True)
class _Stream:
    """A compressed tar that several threads read, nearly in order, each a member of its own.

    Members that are passed over on the way to a later one are kept for the threads that want them,
    within a limit; for what is no longer there the reading begins again at the front.
    """

    path: str
    _lock: Lock = field(default_factory=Lock)
    _entries: Iterator[tuple[int, str, int, IO[bytes] | None]] | None = None
    _next: int = 0
    _kept: OrderedDict[int, bytes] = field(default_factory=OrderedDict)

    def read(self, member: Member) -> bytes:
        with self._lock:
            if member.number in self._kept:
                return self._kept.pop(member.number)
            if self._entries is None or member.number < self._next:
                self._entries, self._next = self._walk(), 0
                self._kept.clear()
            for number, name, size, file in self._entries:
                self._next = number + 1
                if file is None or size > MAX_MEMBER_BYTES or not _is_wanted(name):
                    continue
                if number == member.number:
                    return file.read(size)
                self._keep(number, file.read(size))
            self._entries = None
            raise EOFError("the archive has changed since it was listed")

    def _walk(self) -> Iterator[tuple[int, str, int, IO[bytes] | None]]:
        with _opened_tar(self.path) as (tar, _):
            for number, entry in enumerate(_entries(tar)):
                file = tar.extractfile(entry) if entry.isfile() else None
                yield number, entry.name, entry.size, file

    def _keep(self, number: int, data: bytes) -> None:
        self._kept[number] = data
        while len(self._kept) > _KEPT_ITEMS or sum(map(len, self._kept.values())) > _KEPT_BYTES:
            self._kept.popitem(last=False)


def _words(error: BaseException) -> str:
    text = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
