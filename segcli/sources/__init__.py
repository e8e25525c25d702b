"""Sources list images without reading them, in a stable order and in bounded memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from segcli.cameras import COLUMN as CAMERA
from segcli.cloud.urls import shown, url_of
from segcli.errors import UsageError
from segcli.keys import key_from_path, path_from_key, prefixed
from segcli.sources.archive import archive_images
from segcli.sources.clip_times import COLUMN as TAKEN
from segcli.sources.clips import clip_file, held_bytes, is_clip, with_frames
from segcli.sources.containers import Containers
from segcli.sources.contents import with_archives
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
from segcli.sources.reading import MAX_FILE_BYTES, read, refuse_growing
from segcli.sources.remote import (
    LIST_SUFFIXES,
    MANIFEST_SUFFIXES,
    is_root,
    open_url,
    sample_of_key,
)
from segcli.sources.selection import Wanted, parse_age
from segcli.sources.source import NothingFound, Source
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
    "clip_file",
    "held_bytes",
    "is_archive_name",
    "is_clip",
    "is_manifest",
    "is_root",
    "key_from_path",
    "open_source",
    "parse_age",
    "path_from_key",
    "read",
    "refuse_growing",
    "sample_of_key",
]

_EXPECTED = (
    "a folder, an image, a video, an archive (tar, zip), a text file of paths or URLs (.txt), a "
    "Parquet manifest or a URL (s3://, gs://, az://, https://, hf://)"
)


def open_source(
    location: str,
    *,
    column: str | None = None,
    key_prefix: str = "",
    every: Every | None = None,
    stream: int = 0,
    wanted: Wanted | None = None,
    all_folders: bool = False,
    containers: Containers | None = None,
) -> Source:
    """Detect what `location` is and check that it has an image, without listing all of it.

    `column` is the manifest's column of images; `key_prefix` is added before every key as a folder.
    With `every`, archives are listed as the images in them, and videos as the frames that it
    chooses of their `stream`-th video stream. `wanted` selects files. `all_folders` includes the
    folders of NAS and archive tools (folder.SYSTEM_FOLDERS). `containers` decides which archives
    and videos are opened. Raises UsageError.
    """
    containers = containers or Containers()
    source = _opened(
        location, column, key_prefix, containers=every is not None, all_folders=all_folders
    )
    if every is not None:
        # Listing a manifest may read its images, and listing a bucket takes time.
        is_file = os.path.isfile(location)
        decides = os.path.isdir(location) or (is_file and not is_manifest(location))
        source = with_archives(source, containers, decides=decides)
    if wanted is not None and not wanted.is_everything:
        source = replace(_changed(source, wanted.among), is_folder=False)
        source = _checked(
            source,
            f"no image in {shown(location)!r} matches "
            "`include`, `exclude`, `newer_than`, `older_than`",
        )
    if every is not None:
        carried = _with_known(source.carried, containers)
        source = replace(source, containers=containers, carried=carried)
        source = _changed(source, lambda samples: with_frames(samples, every, stream, containers))
    return source


def _with_known(carried: Mapping[str, Any], containers: Containers) -> Mapping[str, Any]:
    """The columns of a source with those for the times of videos and names. What the output has of
    them stays, also where this run has no video and is given no pattern."""
    there = containers.columns
    if there is not None:
        kept = {name: kind for name, kind in there.items() if name in (TAKEN, CAMERA)}
        carried = {**kept, **carried}
    if containers.names is not None:
        carried = containers.names.joined(carried, there)
    if there is not None:  # in the order of the output
        carried = {**{name: carried[name] for name in there if name in carried}, **carried}
    return carried


def _changed(source: Source, change: Callable[[Iterator[Sample]], Iterator[Sample]]) -> Source:
    """The source with `change` applied to its samples."""
    listing, sift = source.listing, source.sift
    return replace(
        source,
        listing=lambda: change(listing()),
        sift=None if sift is None else lambda wanted: change(sift(wanted)),
    )


def _opened(
    location: str, column: str | None, key_prefix: str, *, containers: bool, all_folders: bool
) -> Source:
    if (url := url_of(location)) is not None:
        if column is not None or is_manifest(url):
            return _checked(_open_manifest(url, column, key_prefix), f"no row in {shown(url)!r}")
        source = open_url(url, key_prefix, containers=containers, all_folders=all_folders)
        return _checked(source, f"no image below {shown(url)}; expected objects named as files are")
    try:
        mode = os.stat(location).st_mode
    except (OSError, ValueError) as error:
        raise UsageError(_missing(location, error)) from None
    if not stat.S_ISDIR(mode) and is_manifest(location):
        return _checked(_open_manifest(location, column, key_prefix), f"no row in {location!r}")
    if column is not None:
        raise UsageError(
            f"`column` {column!r} was given, but {location!r} is not a Parquet manifest; omit it"
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
    raise UsageError(f"{location!r} is not a supported file; expected {_EXPECTED}")


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

    def listed(wanted: Callable[[str], bool] | None = None) -> Iterator[Sample]:
        return list_folder(
            location,
            key_prefix,
            wanted,
            containers=containers,
            all_folders=all_folders,
            left_out=source.left_out,
            unread=source.unread,
            unnamed=source.unnamed,
        )

    source = Source(os.path.realpath(location), listed, sift=listed, is_folder=True)
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
    url = url_of(location)
    return Source(
        os.path.realpath(location) if url is None else shown(url),
        lambda: parquet.list_rows(location, columns, key_prefix),
        columns.carried,
        columns.left,
    )


def _checked(source: Source, complaint: str) -> Source:
    """The source itself, after checking that it has a sample."""
    listing = iter(source)
    if next(listing, None) is None:
        raise NothingFound(complaint)
    return source


def is_manifest(location: str) -> bool:
    """Whether a file is Parquet, according to its name or first bytes, or an object, according to
    its name. Raises UsageError."""
    if (url := url_of(location)) is not None:
        return url.partition("?")[0].lower().endswith(MANIFEST_SUFFIXES)
    return location.lower().endswith(MANIFEST_SUFFIXES) or _head(location).startswith(b"PAR1")


def _is_binary(location: str) -> bool:
    head = _head(location)
    return b"\x00" in head or b"\xff" in head


def _head(location: str) -> bytes:
    if not os.path.isfile(location):
        raise UsageError(f"{location!r} is not a regular file; expected {_EXPECTED}")
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
