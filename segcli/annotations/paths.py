"""The paths of exported files, which are never outside of the given folder."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TextIO
from urllib.parse import unquote

from segcli.errors import UsageError
from segcli.files import replacing, reporting, write_bytes

_BY_END = "{} images were found by the end of their path, without its first folders"
LONGEST_NAME = 255  # bytes, on nearly every file system


def portable(name: str, folder: str = "") -> str:
    r"""The path of an image as an annotation file has it, with `/` between its parts.

    `\` separates folders: the file comes from Windows. `folder` is that of the file, which the
    name is relative to. What leads out of the root (`..`, a drive) is left away at the front.
    """
    name = name.replace("\\", "/")
    if "://" in name:
        return name
    if name.startswith("/") or name[1:3] == ":/":
        return name
    parts = posixpath.normpath(posixpath.join(folder, name)).split("/")
    while parts[0] == "..":
        parts.pop(0)
        if not parts:
            return ""
    return "/".join(parts)


def picture_name(name: str) -> str:
    """The path that the name of an image in an annotation file means: with folders of Windows, or
    from an address of Label Studio (/data/local-files/?d=images/a.jpg) or of the web."""
    _, is_local, local = name.partition("/?d=")
    if is_local:
        return portable(unquote(local)) or name
    if "://" in name:
        address = name.partition("://")[2].partition("?")[0]
        return portable(unquote(address.partition("/")[2])) or name
    return portable(name) or name


def spellings(name: str) -> list[str]:
    """The relative paths that it may mean, likely ones first: as it is, as `picture_name` has it,
    with %20 for a blank, and without its first folders."""
    own = picture_name(name)
    whole = [name, own, unquote(own)]
    parts = own.strip("/").split("/")
    ends = ["/".join(parts[i:]) for i in range(len(parts))]
    return [*dict.fromkeys([*whole, *ends, *map(unquote, ends)])]


def located(name: str, images: Path, notes: Counter[str] | None = None) -> str | None:
    """The path below `images` of the file that an annotation file calls `name`, if it is there.

    `notes` counts those that are found without some of their folders.
    """
    whole = {name, picture_name(name), unquote(picture_name(name))}
    for path in spellings(name):
        with suppress(OSError, ValueError):  # a name that no file can have
            if (images / path).is_file():
                if notes is not None and path not in whole:
                    notes[_BY_END] += 1
                return path
    return None


def beside(out: Path, name: str, suffix: str) -> Path:
    """`out` / the image's relative path with another suffix.

    Raises UsageError for an absolute path or one that leads out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise UsageError(
            f"the image {name!r} cannot be put below {out}; export outputs of a folder, or to one "
            "file with `to='coco'`"
        )
    return out / path.with_name(fitting(path.name.removesuffix(path.suffix), suffix))


def fitting(stem: str, suffix: str) -> str:
    """`stem` and `suffix` as the name of a file: 255 bytes at most, with a hash of what is cut."""
    raw, end = os.fsencode(stem), os.fsencode(suffix)
    if len(raw) + len(end) <= LONGEST_NAME:
        return stem + suffix
    digest = hashlib.blake2b(raw, digest_size=4).hexdigest()
    kept = raw[: LONGEST_NAME - len(end) - len(digest) - 1].decode("utf-8", "ignore")
    return f"{kept}-{digest}{suffix}"


def apart_from_images(out: Path, roots: Mapping[str, Sequence[str]]) -> None:
    """Raises UsageError when pictures below `out` would get the names of the images themselves.

    `roots` are the source roots by key prefix: a folder, or a list or manifest whose paths begin
    at its own folder or at the current one.
    """
    for prefix, found in roots.items():
        for root in found:
            bases = [root] if os.path.isdir(root) else [os.path.dirname(root), os.getcwd()]
            if os.path.realpath(out / prefix.strip("/")) in map(os.path.realpath, bases):
                raise UsageError(
                    f"`out` {out} contains the images themselves, which pictures of the same names "
                    "would overwrite; write to another folder"
                )


def stamp(out: Path) -> int:
    """What the clock of the file system that `out` is on says, in ns. Raises OutputError."""
    marker = out / f".{os.getpid()}.part"
    write_bytes(marker, b"")
    try:
        return marker.stat().st_mtime_ns
    finally:
        marker.unlink()


def written_since(path: Path, start: int) -> bool:
    """Whether there is a file or folder that has changed since `stamp` said `start`."""
    try:
        return path.stat().st_mtime_ns >= start
    except OSError:
        return False


@contextmanager
def one_file(path: Path) -> Iterator[TextIO]:
    """A text file that appears under its name when it is complete.

    Raises OutputError, and UsageError where a folder has its name.
    """
    if path.is_dir():
        raise UsageError(
            f"{path} is a folder, but this format is one file; give its name with `out`"
        )
    with (
        reporting(path),
        replacing(path) as unfinished,
        open(unfinished, "w", encoding="utf-8") as file,
    ):
        yield file
