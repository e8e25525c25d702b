"""Images and videos inside archives, and in archives inside them: listed in place.

The members of an uncompressed tar are found by their headers, those of a zip through its directory.
A compressed tar is read as a stream, from front to back.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import IO, Any

from segcli.cloud.errors import is_of_storage
from segcli.keys import key_from_path
from segcli.sources.archive_files import (
    BROKEN,
    MOST_BYTES,
    Place,
    entries,
    open_bytes,
    opened_tar,
    refuse_large,
    stored_offset,
    words,
)
from segcli.sources.folder import is_archive_name, is_image_name, is_video_name, sample_at
from segcli.sources.sidecars import MAX_BYTES, SUFFIXES, Sidecar, Sidecars, paired
from segcli.types import Member, Sample

MAX_DEPTH = 3
"""Archives inside archives inside archives inside the file are opened, and no deeper ones."""

SHARDS = 3  # of a source, whose sidecars are looked at before the run
_UNREAD = (".7z", ".rar")


def is_archive(sample: Sample) -> bool:
    """Whether the sample is an archive as a whole, not an image in it."""
    if sample.member is not None:
        return is_archive_name(sample.member.name)
    return sample.data is None and is_archive_name(sample.path)


def with_members(
    samples: Iterator[Sample],
    opens: Callable[[Sample], bool] = lambda archive: True,
    sidecars: Sidecars | None = None,
    unread: set[str] | None = None,
) -> Iterator[Sample]:
    """The samples, with each archive replaced by the images and videos in it.

    An archive that cannot be read to its end stays in the list, after the members that can be
    read, and becomes a failed row; so does one inside another archive. An archive without any image
    does, too. One that `opens` refuses is left out. With `sidecars`, those in tars ride along.
    Archives whose reading the storage broke off are added to `unread`.
    """
    for sample in samples:
        if not is_archive(sample):
            yield sample
            continue
        if not opens(sample):
            continue
        found = 0
        try:
            for member, fields in paired(_members(sample.path, sidecars is not None)):
                found += 1
                columns = sidecars.columns(fields) if sidecars is not None and fields else {}
                yield _inside(sample, member, columns)
        except BROKEN as error:
            found = 0
            if unread is not None and is_of_storage(error):
                unread.add(sample.key)
        if not found:
            yield sample


def decide_columns(samples: Iterable[Sample], sidecars: Sidecars) -> bool:
    """Whether there are tars among the samples; decides the columns of their sidecars by them,
    where that has not been done."""
    places = (Place(s.path) for s in samples if is_archive(s))
    tars = list(islice((place for place in places if not place.is_zip), SHARDS))
    if tars and sidecars.types is None:
        sidecars.decide(_members(place.path, True) for place in tars)
    return bool(tars)


def archive_images(path: str, key: str) -> Iterator[Sample]:
    """The images and videos of one archive with the key `key`, as far as it can be read."""
    samples = with_members(iter([sample_at(path, key=key)]))
    return (sample for sample in samples if not is_archive(sample))


def why_unreadable(sample: Sample) -> str:
    """The reason why an archive was listed as a whole."""
    place = Place(sample.path, sample.mtime_ns, sample.member)
    try:
        with _opened(place) as file:
            count = sum(1 for _ in _listed(file, place, False))
    except BROKEN as error:
        return _other_kind(place) or f"the archive cannot be read to its end: {words(error)}"
    return "no image in the archive" if not count else "the archive has changed; run again"


def _other_kind(place: Place) -> str | None:
    """A sentence on an archive that is none, or not of the kind that its name says."""
    try:
        with open_bytes(place) as file:
            head = file.read(262)
    except BROKEN:
        return None
    if not head:
        return "the archive is empty (0 bytes)"
    is_zip, is_tar = head.startswith(b"PK\3\4"), head[257:] == b"ustar"
    if place.is_zip and is_tar:
        return "not a zip but a tar archive: rename it to .tar"
    if is_zip and not place.is_zip:
        return "not a tar but a zip archive: rename it to .zip"
    return None


def _inside(archive: Sample, member: Member, columns: Mapping[str, Any]) -> Sample:
    key = f"{archive.key}/{key_from_path(os.fsencode(path_inside(member)))}"
    carried = {**archive.carried, **columns} if columns else archive.carried
    return replace(archive, key=key, member=member, size_bytes=member.size, carried=carried)


def path_inside(member: Member) -> str:
    """The path of a member below the file: of the archives it is in, and its own."""
    name, outer = member.name.removeprefix("./"), member.within
    while outer is not None:
        name, outer = f"{outer.name.removeprefix('./')}/{name}", outer.within
    return name


def _members(path: str, sidecars: bool = False) -> Iterator[Member | Sidecar]:
    """The images and videos in the order of the archive; archives inside it that cannot be read,
    too; and the `sidecars` of a tar where they are wanted.

    Raises one of BROKEN where the archive itself is damaged.
    """
    place = Place(path)
    with _opened(place) as file:
        yield from _listed(file, place, sidecars)


def _opened(place: Place) -> IO[bytes]:
    _check_kind(place)
    return open_bytes(place)


def _check_kind(place: Place) -> None:
    """Raises ValueError for what is not opened at all."""
    if place.name.lower().endswith(_UNREAD):
        kind = place.name[-3:].lstrip(".").lower()
        raise ValueError(
            f"archives of the kind {kind} are not read; unpack it, or pack its files as tar or zip"
        )
    if place.depth > MAX_DEPTH:
        raise ValueError(
            f"archives are opened {MAX_DEPTH} deep inside others; unpack the outer one"
        )


def _listed(file: IO[bytes], place: Place, sidecars: bool) -> Iterator[Member | Sidecar]:
    if place.is_zip:
        with zipfile.ZipFile(file) as archive:
            for number, info in enumerate(archive.infolist()):
                name, size = info.filename, min(info.file_size, MOST_BYTES)
                if info.is_dir() or _is_hidden(name):
                    continue
                if is_image_name(os.fsencode(name)):
                    yield Member(name, number, size, None, place.within)
                    continue
                if not (is_video_name(name) or is_archive_name(name)):
                    continue
                inner = Member(name, number, size, stored_offset(file, info), place.within)
                if is_video_name(name):
                    yield inner
                else:
                    yield from _nested(inner, place, partial(archive.open, info), sidecars)
        return
    yield from _listed_tar(file, place, sidecars)


def _listed_tar(file: IO[bytes], place: Place, sidecars: bool) -> Iterator[Member | Sidecar]:
    with opened_tar(file, place.name) as (tar, is_stream):
        for number, entry in enumerate(entries(tar)):
            if not entry.isfile() or _is_hidden(entry.name):
                continue
            offset = None if is_stream else entry.offset_data
            member = Member(entry.name, number, entry.size, offset, place.within)
            if is_image_name(os.fsencode(entry.name)) or is_video_name(entry.name):
                yield member
            elif is_archive_name(entry.name):
                data = partial(tar.extractfile, entry)
                yield from _nested(member, place, data, sidecars)
            elif sidecars and entry.name.lower().endswith(SUFFIXES) and entry.size <= MAX_BYTES:
                with tar.extractfile(entry) or io.BytesIO() as content:
                    yield Sidecar(entry.name, content.read())


def _nested(
    inner: Member, place: Place, compressed: Callable[[], IO[bytes] | None], sidecars: bool
) -> Iterator[Member | Sidecar]:
    """The images of an archive inside another, or it itself where it cannot be read to its end.

    What is compressed is read by `compressed`, as a stream must not be read twice.
    """
    place = replace(place, within=inner)
    try:
        _check_kind(place)
        with open_bytes(place) if inner.offset is not None else _held(inner, compressed) as file:
            yield from _listed(file, place, sidecars)
    except BROKEN as error:
        if is_of_storage(error):
            raise  # what is behind it may be unreadable for the same reason
        yield inner


def _held(inner: Member, compressed: Callable[[], IO[bytes] | None]) -> IO[bytes]:
    refuse_large(inner)
    with compressed() or io.BytesIO() as file:
        return io.BytesIO(file.read(inner.size))


def _is_hidden(name: str) -> bool:
    """In a folder of Macs, or below a name that begins with a dot."""
    parts = name.removeprefix("./").split("/")
    return "__MACOSX" in parts or any(part.startswith(".") and part != ".." for part in parts)
