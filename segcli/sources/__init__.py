"""Where images are listed, without reading them, in a stable order and in bounded memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from segcli.errors import UsageError
from segcli.keys import key_from_path, path_from_key, prefixed
from segcli.sources.archive import (
    archive_images,
    with_members,
)
from segcli.sources.clips import is_clip, with_frames
from segcli.sources.file_list import list_lines
from segcli.sources.folder import (
    SUFFIXES,
    VIDEO_SUFFIXES,
    is_archive_name,
    is_image_name,
    is_video_name,
    list_folder,
    sample_at,
)
from segcli.sources.reading import MAX_FILE_BYTES, read
from segcli.sources.selection import Wanted, parse_age
from segcli.suggest import nearest
from segcli.types import Sample

if TYPE_CHECKING:
    from segcli.video.every import Every

__all__ = [
    "MAX_FILE_BYTES",
    "SUFFIXES",
    "NothingFound",
    "Source",
    "Wanted",
    "archive_images",
    "has_own_root",
    "is_archive_name",
    "is_clip",
    "is_manifest",
    "key_from_path",
    "open_source",
    "parse_age",
    "path_from_key",
    "read",
]

LIST_SUFFIXES = (".txt", ".lst", ".list")

_EXPECTED = (
    "a folder, an image, a video, an archive (tar, zip), a text file of paths (.txt) or a "
    "Parquet manifest"
)


class NothingFound(UsageError):
    """The source is there, but no image is in it, or none that is wanted."""


@dataclass(frozen=True, slots=True)
class Source:
    """An archive of images. Each iteration lists it anew; a key that occurs twice comes twice.

    `root` is the absolute path, without symbolic links, of the folder, list or manifest (of the
    folder for a single image): keys mean something only below it. `carried` are a manifest's own
    columns, name -> Arrow type; their values ride in Sample.carried as Python values, dates and
    times as the integers of their type. `notes` are sentences on what does not ride along.
    `sift` lists what is wanted more cheaply than listing all and leaving the rest out. `left_out`
    are the folders of NAS and archive tools that listing has passed by, `unread` those that could
    not be listed. `is_folder`: every image below `root` is listed. `roots`: for each prefix of keys
    the root below which such keys mean something, where `several.open_sources` made it.
    """

    root: str
    listing: Callable[[], Iterator[Sample]]
    carried: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sift: Callable[[Callable[[str], bool]], Iterator[Sample]] | None = None
    left_out: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    is_folder: bool = False
    roots: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Sample]:
        return self.listing()

    def only(self, wanted: Callable[[str], bool]) -> Source:
        """The samples whose keys are wanted, for one of several runs that share a source."""
        if (sift := self.sift) is not None:
            return replace(self, listing=lambda: sift(wanted))
        return replace(self, listing=lambda: (s for s in self if wanted(s.key)))


def open_source(
    location: str,
    *,
    column: str | None = None,
    key_prefix: str = "",
    every: Every | None = None,
    stream: int = 0,
    wanted: Wanted | None = None,
    all_folders: bool = False,
) -> Source:
    """Finds out what `location` is and that it has an image, without listing all of it.

    `column` names the manifest's column of images; `key_prefix` becomes one more folder in front
    of every key. With `every`, archives are listed as the images in them, and videos as the frames
    that it chooses of their `stream`-th video stream. `wanted` leaves files out. With `all_folders`
    the folders of NAS and archive tools (folder.SYSTEM_FOLDERS) count too. Raises UsageError.
    """
    source = _opened(
        location, column, key_prefix, containers=every is not None, all_folders=all_folders
    )
    if every is not None:
        source = _with_members(source)
    if wanted is not None and not wanted.is_everything:
        source = replace(_changed(source, wanted.among), is_folder=False)
        source = _checked(
            source,
            f"no image in {location!r} passes what was asked for: "
            "--include, --exclude, --newer-than, --older-than",
        )
    if every is not None:
        source = _changed(source, lambda samples: with_frames(samples, every, stream))
    return source


def _with_members(source: Source) -> Source:
    """Archives replaced by their images. A shard takes of each archive the images that are its
    own, so no archive is left out by its name."""
    listing, sift = source.listing, source.sift

    def sifted(wanted: Callable[[str], bool]) -> Iterator[Sample]:
        assert sift is not None
        samples = sift(lambda key: is_archive_name(key) or wanted(key))
        return (sample for sample in with_members(samples) if wanted(sample.key))

    return replace(
        source,
        listing=lambda: with_members(listing()),
        sift=None if sift is None else sifted,
    )


def _changed(source: Source, change: Callable[[Iterator[Sample]], Iterator[Sample]]) -> Source:
    """The source with `change` applied to whatever it lists."""
    listing, sift = source.listing, source.sift
    return replace(
        source,
        listing=lambda: change(listing()),
        sift=None if sift is None else lambda wanted: change(sift(wanted)),
    )


def _opened(
    location: str, column: str | None, key_prefix: str, *, containers: bool, all_folders: bool
) -> Source:
    try:
        mode = os.stat(location).st_mode
    except (OSError, ValueError) as error:
        raise UsageError(_missing(location, error)) from None
    if not stat.S_ISDIR(mode) and is_manifest(location):
        return _checked(_open_manifest(location, column, key_prefix), f"no row in {location!r}")
    if column is not None:
        raise UsageError(
            f"--column {column!r} was given, but {location!r} is no Parquet manifest: leave it away"
        )
    if stat.S_ISDIR(mode):
        return _open_folder(location, key_prefix, containers, all_folders)
    if is_image_name(location) or (
        containers and (is_video_name(location) or is_archive_name(location))
    ):
        return _open_image(location, key_prefix)
    if location.lower().endswith(LIST_SUFFIXES):
        source = Source(os.path.realpath(location), lambda: list_lines(location, key_prefix))
        return _checked(source, f"no path in the list {location!r}; expected one per line")
    if _is_binary(location):
        return _open_image(location, key_prefix)
    raise UsageError(f"{location!r} is a file of another kind; expected {_EXPECTED}")


def _open_folder(location: str, key_prefix: str, containers: bool, all_folders: bool) -> Source:
    try:
        with os.scandir(location) as entries:
            empty = next(entries, None) is None
    except OSError as error:
        raise UsageError(
            f"the folder {location!r} cannot be listed: {error.strerror}; check its permissions"
        ) from None
    if empty:
        raise NothingFound(f"the folder {location!r} is empty; expected images in it")
    left_out, unread = set[str](), set[str]()

    def listed(wanted: Callable[[str], bool] | None = None) -> Iterator[Sample]:
        return list_folder(
            location,
            key_prefix,
            wanted,
            containers=containers,
            all_folders=all_folders,
            left_out=left_out,
            unread=unread,
        )

    source = Source(
        os.path.realpath(location),
        listed,
        sift=listed,
        left_out=left_out,
        unread=unread,
        is_folder=True,
    )
    names = " ".join(sorted(SUFFIXES | VIDEO_SUFFIXES if containers else SUFFIXES))
    kinds = "image or video" if containers else "image"
    return _checked(
        source,
        f"no {kinds} in the folder {location!r}, nor below it; expected files named {names}",
    )


def _open_image(location: str, key_prefix: str) -> Source:
    folder, name = os.path.split(os.path.abspath(location))
    key = prefixed(key_from_path(name), key_prefix)
    return Source(os.path.realpath(folder), lambda: iter([sample_at(location, key=key)]))


def _open_manifest(location: str, column: str | None, key_prefix: str) -> Source:
    from segcli.sources import parquet  # pyarrow takes a third of a second: only where needed

    columns = parquet.layout(location, column)
    return Source(
        os.path.realpath(location),
        lambda: parquet.list_rows(location, columns, key_prefix),
        columns.carried,
        columns.left,
    )


def _checked(source: Source, complaint: str) -> Source:
    """The source itself, after a look at its first sample."""
    listing = iter(source)
    if next(listing, None) is None:
        raise NothingFound(complaint)
    return source


def has_own_root(location: str) -> bool:
    """Whether keys are relative to the source itself: a folder, list, manifest or address. Those of
    a single file are relative to its folder."""
    if "://" in location or os.path.isdir(location):
        return True
    if is_image_name(location) or is_video_name(location) or is_archive_name(location):
        return False
    return location.lower().endswith(LIST_SUFFIXES) or (
        os.path.isfile(location) and is_manifest(location)
    )


def is_manifest(location: str) -> bool:
    """Whether a file is Parquet, by its name or its first bytes. Raises UsageError."""
    return location.lower().endswith((".parquet", ".pq")) or _head(location).startswith(b"PAR1")


def _is_binary(location: str) -> bool:
    head = _head(location)
    return b"\x00" in head or b"\xff" in head


def _head(location: str) -> bytes:
    if not os.path.isfile(location):
        raise UsageError(f"{location!r} is no regular file; expected {_EXPECTED}")
    try:
        with open(location, "rb") as file:
            return file.read(512)
    except OSError as error:
        raise UsageError(f"cannot read {location!r}: {error.strerror}") from None


def _missing(location: str, error: Exception) -> str:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        reason = getattr(error, "strerror", None) or error
        return f"cannot open {location!r}: {reason}; expected {_EXPECTED}"
    return f"no such file or folder: {location!r}; expected {_EXPECTED}{_near(location)}"


def _near(location: str) -> str:
    folder, name = os.path.split(location.rstrip("/"))
    try:
        near = nearest(name, os.listdir(folder or ".")[:1000])
    except OSError:
        return ""
    return f"; did you mean {os.path.join(folder, near)!r}?" if near is not None else ""
