"""The bytes inside archives: an archive on disk or in another archive, and the members of it.

Nothing is extracted to disk. An archive that is stored as it is in another one is read in place; a
compressed one is held in memory, up to MAX_HELD_BYTES.
"""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from threading import Lock
from typing import IO, Any

from segcli.cloud.errors import StoreError
from segcli.cloud.object_file import FEW, MANY, ObjectFile
from segcli.cloud.objects import fetch_range
from segcli.cloud.urls import is_url, url_of
from segcli.errors import ImageError
from segcli.sources.folder import is_image_name, is_video_name
from segcli.sources.window import Window
from segcli.types import Member, Sample

MOST_BYTES = 2**63 - 1
"""What a header can state and a column has room for."""

MAX_MEMBER_BYTES = 2**31
MAX_HELD_BYTES = 128 << 20
_MAX_RATIO = 1000  # deflate reaches 1032; images are hardly compressed at all
_BOMB_BYTES = 64 << 20  # a smaller member may have any ratio
_HEADER_BYTES = 1 << 10  # of a member of a zip, about
_DAMAGED = ("InvalidHeaderError", "TruncatedHeaderError")  # the others mark the end
_KEPT_BYTES, _KEPT_ITEMS = 128 << 20, 256  # of a stream, passed over for a thread that comes later
BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError,
    NotImplementedError,
)  # fmt: skip
"""What reading a damaged or encrypted archive raises."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an archive is: the file `path`, or in it the member `within`, which may be nested."""

    path: str
    mtime_ns: int | None = None
    within: Member | None = None

    @property
    def name(self) -> str:
        """Its suffix says what kind of archive it is."""
        return self.path if self.within is None else self.within.name

    @property
    def is_zip(self) -> bool:
        return self.name.lower().endswith(".zip")

    @property
    def depth(self) -> int:
        """How many archives it is in."""
        depth, within = 0, self.within
        while within is not None:
            depth, within = depth + 1, within.within
        return depth


def open_bytes(place: Place) -> IO[bytes]:
    """The archive as a seekable file. Raises one of BROKEN, and ImageError."""
    inner = place.within
    if inner is None:
        url = url_of(place.path)
        if url is None:
            return open(place.path, "rb")
        return io.BufferedReader(ObjectFile(url, MANY if place.is_zip else FEW))
    if inner.offset is not None:
        outer = open_bytes(replace(place, within=inner.within))
        return io.BufferedReader(Window(outer, inner.offset, inner.size))
    return io.BytesIO(_held(place))


def refuse_large(inner: Member) -> None:
    """Raises ValueError for a compressed archive or video that is too large to be held."""
    if inner.offset is not None or inner.size <= MAX_HELD_BYTES:
        return
    if is_video_name(inner.name):
        where, way = "the", "unpack the archive, or pack it without compression (tar, zip -0)"
    else:
        where, way = "another", "unpack the outer archive"
    raise ValueError(
        f"it is compressed inside {where} archive, and its {inner.size:,} bytes are more than the "
        f"{MAX_HELD_BYTES:,} that are held in memory; {way}"
    )


@lru_cache(maxsize=1)
def _held(place: Place) -> bytes:
    assert place.within is not None, "a file is read in place"
    refuse_large(place.within)
    return member_bytes(replace(place, within=place.within.within), place.within)


def read_member(sample: Sample, member: Member) -> bytes:
    """The encoded image. Raises ImageError."""
    if member.size > MAX_MEMBER_BYTES:
        raise ImageError(
            f"the member has {member.size:,} bytes; larger than {MAX_MEMBER_BYTES:,} is not read"
        )
    try:
        data = member_bytes(Place(sample.path, sample.mtime_ns, member.within), member)
    except FileNotFoundError:
        raise ImageError("the archive has vanished since it was listed") from None
    except BROKEN as error:
        raise ImageError(f"cannot read it from the archive: {words(error)}") from None
    if len(data) < member.size:
        raise ImageError(
            f"the archive ends inside of it: {len(data):,} of {member.size:,} bytes are there"
        )
    return data


def member_bytes(place: Place, member: Member) -> bytes:
    """What the archive holds for a member, less than its size where it ends before."""
    if member.offset is not None:
        if place.within is None and (url := url_of(place.path)) is not None:
            return _read_range(url, member.offset, member.size)
        with open_bytes(place) as file:
            file.seek(member.offset)
            return file.read(member.size)
    if place.is_zip:
        return _read_zipped(_zip(place), member)
    return _stream(place).read(member)


def _read_range(url: str, start: int, size: int) -> bytes:
    try:
        return fetch_range(url, start, start + size) if size else b""
    except StoreError as error:
        raise error.as_os_error() from None


class _Header(tarfile.TarInfo):
    """tarfile takes a damaged header behind the first one for the end of the archive, and accepts
    sizes that none can have."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Header:
        try:
            found = super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            if type(error).__name__ in _DAMAGED:
                raise tarfile.ReadError(str(error)) from None
            raise
        if not 0 <= found.size <= MOST_BYTES:
            raise tarfile.ReadError(f"damaged header: a member of {found.size:,} bytes")
        return found


def entries(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """One after the other. Raises one of BROKEN where the archive is damaged."""
    while (entry := tar.next()) is not None:
        yield entry
        tar.members = []  # type: ignore[attr-defined]  # it keeps every header otherwise


@contextmanager
def opened_tar(file: IO[bytes], name: str) -> Iterator[tuple[tarfile.TarFile, bool]]:
    """The tar in `file`, and whether it can only be read from front to back."""
    lower = name.lower()
    if lower.endswith(".tar"):
        with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as tar:
            yield tar, False
    elif lower.endswith((".zst", ".tzst")):
        with (
            _unzstd(file) as plain,
            tarfile.open(fileobj=plain, mode="r|", tarinfo=_Header) as tar,
        ):
            yield tar, True
    else:
        with tarfile.open(fileobj=file, mode="r|*", tarinfo=_Header) as tar:
            yield tar, True


@contextmanager
def _unzstd(file: IO[bytes]) -> Iterator[Any]:
    import pyarrow as pa

    with pa.PythonFile(file, "r") as raw, pa.CompressedInputStream(raw, "zstd") as stream:
        yield stream


def stored_offset(file: IO[bytes], info: zipfile.ZipInfo) -> int | None:
    """Where the bytes of a member of a zip begin, if they are neither compressed nor encrypted."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        return None
    file.seek(info.header_offset)
    header = file.read(30)
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return info.header_offset + 30 + lengths


def _read_zipped(archive: zipfile.ZipFile, member: Member) -> bytes:
    info = archive.infolist()[member.number]
    if info.file_size > _BOMB_BYTES and info.file_size > _MAX_RATIO * max(info.compress_size, 1):
        raise ImageError(
            f"{info.compress_size:,} bytes would become {info.file_size:,}: not an image but a bomb"
        )
    if isinstance(archive.fp, io.BufferedReader) and isinstance(archive.fp.raw, ObjectFile):
        # Before zipfile locks the object for the others: its header has a name and some fields.
        archive.fp.raw.warm(info.header_offset, info.compress_size + _HEADER_BYTES)
    with archive.open(info) as file:
        return file.read(info.file_size)


@lru_cache(maxsize=2)
def _zip(place: Place) -> zipfile.ZipFile:
    """Kept open: its directory is read once, and threads may share it."""
    if place.within is None and not is_url(place.path):
        return zipfile.ZipFile(place.path)  # which closes it in the end
    return zipfile.ZipFile(open_bytes(place))


@lru_cache(maxsize=2)
def _stream(place: Place) -> _Stream:
    return _Stream(place)


@dataclass(slots=True)
class _Stream:
    """A compressed tar that several threads read, nearly in order, each a member of its own.

    Members that are passed over on the way to a later one are kept for the threads that want them,
    within a limit; for what is no longer there the reading begins again at the front.
    """

    place: Place
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
                if file is None or size > MAX_MEMBER_BYTES:
                    continue
                if number == member.number:
                    return file.read(size)
                if is_image_name(os.fsencode(name)):
                    self._keep(number, file.read(size))
            self._entries = None
            raise EOFError("the archive has changed since it was listed")

    def _walk(self) -> Iterator[tuple[int, str, int, IO[bytes] | None]]:
        with open_bytes(self.place) as file, opened_tar(file, self.place.name) as (tar, _):
            for number, entry in enumerate(entries(tar)):
                data = tar.extractfile(entry) if entry.isfile() else None
                yield number, entry.name, entry.size, data

    def _keep(self, number: int, data: bytes) -> None:
        self._kept[number] = data
        while len(self._kept) > _KEPT_ITEMS or sum(map(len, self._kept.values())) > _KEPT_BYTES:
            self._kept.popitem(last=False)


def words(error: BaseException) -> str:
    """The first line of what a library says, without the path."""
    text = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
