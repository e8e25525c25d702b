"""The directory of an output: its allowed contents, and hidden files next to it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from segcli.cloud.errors import StoreError
from segcli.cloud.objects import Listed, list_objects
from segcli.cloud.urls import BUCKETS, is_url, scheme_of, shown, split_bucket, url_of
from segcli.errors import UsageError
from segcli.store.exchange import find_exchange

_PART = re.compile(r"part-[0-9a-f]{32}\.parquet")
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
    return f"DuckDB reads a directory of this name as read_parquet('{path}/*.parquet')"


def is_part(name: str) -> bool:
    return _PART.fullmatch(name) is not None


def list_parts(path: Path) -> list[str]:
    """Sorted names of the parts in `path`; empty if it does not exist.

    Raises UsageError if it contains anything else: several readers would refuse the directory or
    mix in foreign rows.
    """
    if (url := url_of(path)) is not None:
        return sorted(name for name, _ in list_bucket_parts(url))
    try:
        names = sorted(os.listdir(path))
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise UsageError(
            f"{path} is a file, not an output of segcli: a directory of parts; choose another path"
        ) from None
    except OSError as e:
        raise UsageError(f"cannot read {path}: {e.strerror}") from e
    names = [n for n in names if not n.startswith(_NFS_OPEN)]
    foreign = [n for n in names if not _PART.fullmatch(n)]
    if not foreign:
        return names
    if len(foreign) == len(names):
        raise UsageError(
            f"{path} contains {foreign[0]!r} and no part, so it is not an output; name the output "
            f"of a run, or for a new output a directory that does not exist yet"
        )
    raise _foreign(str(path), foreign[0])


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
    for name, listed in parts:
        if not _PART.fullmatch(name):
            raise _foreign(url, name)
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
        with os.scandir(place) as entries:
            names = (entry.name for entry in entries if not entry.name.startswith(_NFS_OPEN))
            first = next(names, "")  # an output holds parts alone, so the first name tells
        if _PART.fullmatch(first):
            raise UsageError(
                f"{option} {path} is inside {place}, an output, which may contain only parts; "
                f"choose another place"
            )


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
