"""Files that appear under their name whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from segcli.errors import OutputError

_numbers = count()


@contextmanager
def reporting(
    path: object,
    action: str = "write",
    *,
    advice: str = "",
    errors: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Turn an OSError inside the block into OutputError("cannot write PATH: REASON; ADVICE").

    `action` is the verb. `errors` are exceptions of other libraries that mean the same.
    """
    caught: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except caught as error:
        text = f"cannot {action} {path}: {_reason(error)}"
        raise OutputError(f"{text}; {advice}" if advice else text) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EXDEV:
        return "it is on another file system than the folder it lies in (a mount?)"
    return getattr(error, "strerror", None) or str(error).strip().splitlines()[0]


@contextmanager
def replacing(path: Path, *, suffix: str = ".part") -> Iterator[Path]:
    """A path to write to; the file there replaces `path` when the block ends without an error.

    Missing folders are made. A symbolic link stays, and the file that it points to is replaced. A
    device or a pipe, which cannot be replaced, is itself the path to write to. `suffix` is for
    writers that choose the format by it. OSError is raised as it comes.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        yield target
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own for each writer, and short: file systems allow no more than 255 bytes.
    unfinished = target.with_name(f".{os.getpid()}-{next(_numbers)}{suffix}")
    try:
        yield unfinished
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file by a rename. Raises OutputError."""
    with reporting(path), replacing(path) as unfinished:
        unfinished.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8 by a rename. Raises OutputError."""
    write_bytes(path, text.encode())
