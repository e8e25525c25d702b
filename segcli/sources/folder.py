"""Images in a folder, recursively, lazily, in the order of their paths' bytes.

Memory holds the names of one directory, and the remaining names of those above it; no tree is
built.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from segcli.keys import ARCHIVE_SUFFIXES, key_from_path, prefixed
from segcli.types import Sample

_NAMES = (
    ".apng .avif .avifs .bmp .bw .gif .heic .heif .hif .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf "
    ".jpg .jpx .jxl .mpo .pbm .pcx .pfm .pgm .png .pnm .ppm .psd .qoi .ras .rgb .rgba .sgi "
    ".tga .tif .tiff .webp"
)
_VIDEO_NAMES = (
    ".3g2 .3gp .asf .avi .dav .flv .h264 .h265 .m2ts .m4v .mjpeg .mjpg .mkv .mov .mp4 .mpeg .mpg "
    ".mts .mxf .ogv .ts .vob .webm .wmv"
)
VIDEO_SUFFIXES = frozenset(_VIDEO_NAMES.split())
"""Suffixes of videos."""

SUFFIXES = frozenset(_NAMES.split())
"""Suffixes of images. `images` has the formats; a test compares both lists."""


def _endings(suffixes: Iterable[str]) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
    text = tuple(sorted(suffixes))
    return text, tuple(suffix.encode() for suffix in text)


_IMAGE_ENDINGS = _endings(SUFFIXES)
_VIDEO_ENDINGS = _endings(VIDEO_SUFFIXES)
_ARCHIVE_ENDINGS = _endings(ARCHIVE_SUFFIXES)

# Names are compared in lower case.
SYSTEM_FOLDERS = frozenset(
    {b"@eadir", b"__macosx", b"thumbs", b"#recycle", b"@recycle", b"$recycle.bin", b"lost+found"}
)
"""Folders that NAS, archive tools and viewers create: small copies, metadata, deleted files.

Folders whose name begins with a dot (.thumbnails) are always skipped.
"""

Identity = tuple[int, int]  # (device, inode)

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")
"""First bytes of JPEG, PNG, GIF, WebP and TIFF files."""

_TRIED = 10  # names without a suffix in a folder that are opened: LICENSE may be the first


@dataclass(slots=True)
class _Directory:
    """A directory that is being listed: its path below the root, and its remaining names."""

    relative: bytes
    identity: Identity
    names: list[bytes]


def is_image_name(name: str | bytes) -> bool:
    """Whether a file of this name is listed in a folder."""
    return _ends(name, _IMAGE_ENDINGS)


def is_video_name(name: str | bytes) -> bool:
    """Whether a file of this name is a video."""
    return _ends(name, _VIDEO_ENDINGS)


def is_archive_name(name: str | bytes) -> bool:
    """Whether a file of this name is an archive whose images are listed."""
    return _ends(name, _ARCHIVE_ENDINGS)


def _ends(name: str | bytes, endings: tuple[tuple[str, ...], tuple[bytes, ...]]) -> bool:
    """`endings` as text and as bytes: this is asked of each file, and decoding takes time."""
    text, encoded = endings
    if isinstance(name, bytes):
        return name.lower().endswith(encoded)
    return name.lower().endswith(text)


def is_media_name(name: str | bytes) -> bool:
    """Whether a file of this name is an image, a video or an archive."""
    return is_image_name(name) or is_video_name(name) or is_archive_name(name)


def list_folder(
    folder: str,
    key_prefix: str = "",
    wanted: Callable[[str], bool] | None = None,
    *,
    containers: bool = False,
    all_folders: bool = False,
    left_out: set[str] | None = None,
    unread: set[str] | None = None,
    unnamed: dict[str, int] | None = None,
) -> Iterator[Sample]:
    """All files with the suffix of an image below `folder`; names that begin with a dot are
    skipped. With `containers`, also files with the suffix of a video or an archive.

    Symbolic links are followed, unless they lead to a directory that is being listed. A directory
    with the name of an image, and one that cannot be listed, are samples, too, so that they become
    failed rows. Files whose keys are not `wanted` are not opened. SYSTEM_FOLDERS are skipped and
    added to `left_out`, unless `all_folders`. Directories that cannot be listed are added to
    `unread`. Images without a suffix are skipped and counted in `unnamed`, by the first of them in
    each folder.
    """
    root = os.fsencode(folder)

    def is_left_out(path: bytes) -> bool:
        if all_folders or os.path.basename(path[:-1]).lower() not in SYSTEM_FOLDERS:
            return False
        if left_out is not None:
            left_out.add(os.fsdecode(path))
        return True

    def skip(folder: bytes, names: list[bytes]) -> None:
        first = next((n for n in names[:_TRIED] if _is_image(os.path.join(root, folder, n))), None)
        if unnamed is not None and first is not None:
            unnamed[os.fsdecode(folder + first)] = len(names)

    is_wanted = is_media_name if containers else is_image_name
    below = os.path.join(root, b"")
    for relative in _walk(root, is_wanted, is_left_out, skip):
        if unread is not None and relative.endswith(b"/"):
            unread.add(os.fsdecode(relative))
        key = prefixed(key_from_path(relative), key_prefix)
        if wanted is None or wanted(key):
            path = below + relative
            yield sample_at(os.fsdecode(path), key=key, path_bytes=path)


def sample_at(path: str, *, key: str, path_bytes: bytes | None = None) -> Sample:
    """The sample of a file on disk; without size and time if it is missing or not a file, and
    without a time that does not fit into 64 bits (after the year 2262)."""
    try:
        found = os.stat(path if path_bytes is None else path_bytes)
    except (OSError, ValueError):
        return Sample(key, path)
    if not stat.S_ISREG(found.st_mode):
        return Sample(key, path)
    mtime_ns = found.st_mtime_ns if abs(found.st_mtime_ns) < 2**63 else None
    return Sample(key, path, size_bytes=found.st_size, mtime_ns=mtime_ns)


def _walk(
    root: bytes,
    is_wanted: Callable[[bytes], bool],
    is_left_out: Callable[[bytes], bool],
    skip: Callable[[bytes, list[bytes]], None],
) -> Iterator[bytes]:
    """Paths of the samples below `root`, relative to it, in the order of their bytes."""
    pending = [_Directory(b"", (0, 0), [b"/"])]  # "/" after "" is the root itself
    while pending:
        directory = pending[-1]
        if not directory.names:
            pending.pop()
            continue
        path = directory.relative + directory.names.pop()
        if not path.endswith(b"/"):
            yield path
            continue
        if is_left_out(path):
            continue
        if is_wanted(path[:-1]):
            yield path[:-1]
        relative = b"" if path == b"/" else path
        try:
            entered = _enter(root, relative, [d.identity for d in pending], is_wanted, skip)
        except OSError:
            yield path
            continue
        if entered is not None:
            pending.append(entered)


def _enter(
    root: bytes,
    relative: bytes,
    above: list[Identity],
    is_wanted: Callable[[bytes], bool],
    skip: Callable[[bytes, list[bytes]], None],
) -> _Directory | None:
    """The directory with its names; None for a loop, a directory that is already being listed."""
    here = os.path.join(root, relative)
    found = os.stat(here)
    identity = (found.st_dev, found.st_ino)
    if identity in above:
        return None
    names, unnamed = _sorted_names(here, is_wanted)
    if unnamed:
        skip(relative, unnamed)
    return _Directory(relative, identity, names)


def _is_image(path: bytes) -> bool:
    """By its first bytes."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False  # opening a pipe would wait for its writer
        with open(path, "rb") as file:
            return file.read(4).startswith(_MAGIC)
    except OSError:
        return False


def _sorted_names(
    folder: bytes, is_wanted: Callable[[bytes], bool]
) -> tuple[list[bytes], list[bytes]]:
    """Wanted names and, with a slash, names of directories, in reverse order, for popping; and the
    names without a suffix.

    The slash makes the order that of the whole paths: "a/b.jpg" comes after "a.jpg".
    """
    names, unnamed = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(b"."):
                continue
            if _is_directory(entry):
                names.append(name + b"/")
            elif is_wanted(name):
                names.append(name)
            elif b"." not in name:
                unnamed.append(name)
    names.sort(reverse=True)
    return names, sorted(unnamed)


def _is_directory(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
