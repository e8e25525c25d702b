"""The directory of an output: its allowed contents, and hidden files next to it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from segcli.cloud.errors import StoreError
from segcli.cloud.objects import Listed, list_objects
from segcli.cloud.urls import BUCKETS, is_url, scheme_of, shown, split_bucket, url_of
from segcli.errors import UsageError
from segcli.partitions import is_folder
from segcli.store.exchange import find_exchange

_PART = re.compile(r"(?:[^/=]+=[^/]+/)*part-[0-9a-f]{32}\.parquet")
_NFS_OPEN = ".nfs"  # NFS's name for a replaced file that is still open


def resolve(path: Path) -> Path:
    """Where an output really is, so that two names of it share one lock and one staging.

    The URL of a bucket stays as it is.
    """
    if (url := url_of(path)) is not None:
        return Path(url.rstrip("/"))
    return Path(os.path.realpath(path))


def lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def lease_url(url: str) -> str:
    """What locks an output in a bucket, next to it."""
    folder, _, name = url.rstrip("/").rpartition("/")
    return f"{folder}/.{name}.lease"


def staging_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.staging")


def shards_path(path: Path) -> Path:
    """The folder for locks and staging of shards; a run without shards removes it."""
    return path.with_name(f".{path.name}.shards")


def duckdb_note(path: Path) -> str | None:
    """A note for outputs whose name DuckDB does not accept as a table."""
    if path.name.endswith(".parquet"):
        return None
    return f"DuckDB reads a directory of this name as read_parquet('{path}/**/*.parquet')"


def list_parts(path: Path) -> list[str]:
    """Sorted names of the parts in `path`, those in partitions with their folders
    ("date=2026-11-27/part-....parquet"); empty if it does not exist.

    Raises UsageError if it contains anything else: several readers would refuse the directory or
    mix in foreign rows.
    """
    if (url := url_of(path)) is not None:
        return sorted(name for name, _ in list_bucket_parts(url))
    try:
        names, foreign = _scan(path)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise UsageError(
            f"{path} is a file, not an output of segcli: a directory of parts; choose another path"
        ) from None
    except OSError as e:
        raise UsageError(f"cannot read {path}: {e.strerror}") from e
    if foreign and not names:
        raise UsageError(
            f"{path} contains {foreign[0]!r} and no part, so it is not an output; name the output "
            f"of a run, or for a new output a directory that does not exist yet"
        )
    if foreign:
        raise _foreign(str(path), foreign[0])
    _check_alike(str(path), names)
    return names


def parts_among(path: Path) -> list[str]:
    """The same, whatever else the directory contains, as far as its folders can be read."""
    try:
        return _scan(path, all_readable=False)[0]
    except OSError:
        return []


def _scan(
    path: Path, folder: str = "", *, all_readable: bool = True
) -> tuple[list[str], list[str]]:
    """The names of the parts in `path`/`folder` and in partitions there, and of what else there is,
    both sorted. Raises OSError, unless partitions need not be `all_readable`."""
    parts: list[str] = []
    foreign: list[str] = []
    for name in os.listdir(path / folder):
        below = f"{folder}{name}"
        if _PART.fullmatch(name):
            parts.append(below)
        elif name.startswith(_NFS_OPEN):
            continue
        elif is_folder(name):
            try:
                found = _scan(path, f"{below}/", all_readable=all_readable)
            except NotADirectoryError:
                foreign.append(below)
            except FileNotFoundError:  # removed meanwhile, with its last part
                continue
            except OSError:
                if all_readable:
                    raise
                foreign.append(below)
            else:
                parts += found[0]
                foreign += found[1]
        else:
            foreign.append(below)
    return sorted(parts), sorted(foreign)


def _check_alike(output: str, names: Sequence[str]) -> None:
    """Raises UsageError unless all parts are in partitions by the same names, or none is."""
    kinds = {_kind(name): name for name in names}
    if len(kinds) > 1:
        one, other = list(kinds.values())[:2]
        raise UsageError(
            f"{output} contains {one} and {other}, but the parts of an output have the same "
            f"partitions: they were probably copied from another output; move them away"
        )


def _kind(name: str) -> tuple[str, ...]:
    """ "date=2026-11-27/part-....parquet" -> ("date",)"""
    return tuple(folder.partition("=")[0] for folder in name.split("/")[:-1])


def list_bucket_parts(url: str) -> Iterator[tuple[str, Listed]]:
    """The parts of an output in a bucket that count, with what the store knows of each.

    Raises UsageError, also when there is anything else.
    """
    start = len(split_bucket(url)[1]) + 1
    try:
        before = find_exchange(url)
        while True:
            parts = [(listed.key[start:], listed) for listed in list_objects(url)]
            if (now := find_exchange(url)) == before:
                break
            before = now  # parts were exchanged while they were listed
    except StoreError as error:
        raise UsageError(f"cannot list {shown(url)}: {error}") from None
    for name, _ in parts:
        *folders, _ = name.split("/")
        if not (_PART.fullmatch(name) and all(map(is_folder, folders))):
            raise _foreign(url, name)
    _check_alike(url, [name for name, _ in parts])
    for name, listed in parts:
        if name not in now.hidden:
            yield name, listed


def _foreign(output: str, name: str) -> UsageError:
    return UsageError(
        f"{output} contains {name!r}, which is not a part; an output may contain only parts: "
        f"move it away, or choose another directory"
    )


def refuse_among_parts(path: Path, option: str) -> None:
    """Raises UsageError when a file or folder at `path` would lie in an output, where it would
    make readers refuse the output, or when it is a URL. `option` is named in the message."""
    if is_url(path):
        raise UsageError(
            f"{option} {shown(path)}: only the output of segcli predict can be in a bucket; write "
            f"to a disk and copy it"
        )
    real = resolve(path)
    place = next((p for p in (real, *real.parents) if p.is_dir()), None)
    with contextlib.suppress(OSError):
        if place is not None and _is_in_output(place):
            raise UsageError(
                f"{option} {path} is inside {place}, an output, which may contain only parts; "
                f"choose another place"
            )


def _is_in_output(place: Path) -> bool:
    """Whether a directory is an output or a partition of one. Raises OSError."""
    with os.scandir(place) as entries:
        for name in (entry.name for entry in entries if not entry.name.startswith(_NFS_OPEN)):
            if not is_folder(name):  # an output contains only parts, so the first one decides
                return _PART.fullmatch(name) is not None
            if _is_in_output(place / name):  # else a partition that is empty
                return True
    return False


def check_place(path: Path) -> None:
    """Raises UsageError if no output can be created at (resolved) `path`."""
    if (url := url_of(path)) is not None:
        if scheme_of(url) not in BUCKETS or not split_bucket(url)[1]:
            raise UsageError(
                f"`out` {shown(url)}: expected a folder in a bucket, as in "
                f"s3://bucket/masks.parquet (s3, gs or az)"
            )
        list_parts(path)
        return
    if path.name == "":
        raise UsageError(f"`out` {path} has no parent directory for staging; name a new directory")
    if path.is_dir() and _is_mount_point(path):
        raise UsageError(
            f"`out` {path} is a mount point, so a part cannot be renamed into it from "
            f"next to it; choose a directory inside it: {path / 'masks.parquet'}"
        )
    list_parts(path)
    refuse_among_parts(path.parent, "`out`")


def _is_mount_point(path: Path) -> bool:
    if os.path.ismount(path):
        return True
    # A directory bound from the same file system has its parent's device number.
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
        points = {line.split(b" ")[4] for line in lines}
        return _escaped(path) in points
    return False


def _escaped(path: Path) -> bytes:
    """A path as the kernel writes it in its table of mounts."""
    text = os.fsencode(path)
    for byte in (b"\\", b" ", b"\t", b"\n"):
        text = text.replace(byte, b"\\%03o" % ord(byte))
    return text


def sync_directory(path: Path) -> None:
    """Make the names in `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folders(directory: Path, name: str) -> None:
    """Make the folders of a part in `directory`, which is there, durable. Raises OSError."""
    for folder in reversed(PurePosixPath(name).parents[:-1]):
        try:
            os.mkdir(directory / folder)
        except FileExistsError:
            continue
        sync_directory((directory / folder).parent)


def remove_empty(folder: Path, directory: Path) -> None:
    """Remove `folder`, and those between it and `directory`, as far as they are empty."""
    while folder != directory:
        try:
            os.rmdir(folder)
        except OSError:  # not empty, or another process was faster
            return
        folder = folder.parent
