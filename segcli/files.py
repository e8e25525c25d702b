"""Atomic writing of files: a file appears under its name complete or not at all; and the folders of
a user."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from segcli.errors import OutputError

_numbers = count()


def home_folder() -> Path | None:
    """None for a user without a home, as in some containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def user_folder(variable: str, below_home: str) -> Path | None:
    """The folder that an environment variable names, by default one in the user's home; None for a
    user without a home."""
    if given := os.environ.get(variable):
        return Path(given)
    home = home_folder()
    return None if home is None else home / below_home


def cache_folder() -> Path | None:
    """Where segcli keeps what it can make again, for this user; None without such a place."""
    folder = user_folder("XDG_CACHE_HOME", ".cache")
    return None if folder is None else folder / "segcli"


@contextmanager
def reporting(
    path: object,
    action: str = "write",
    *,
    advice: str = "",
    errors: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Turn an OSError inside the block into OutputError("cannot write PATH: REASON; ADVICE").

    `action` is the verb. `errors` are exceptions of other libraries that are treated the same way.
    """
    caught: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except caught as error:
        text = f"cannot {action} {path}: {_reason(error)}"
        raise OutputError(f"{text}; {advice}" if advice else text) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EXDEV:
        return "it is on another file system than its folder (a mount?)"
    return getattr(error, "strerror", None) or str(error).strip().splitlines()[0]


@contextmanager
def replacing(path: Path, *, suffix: str = ".part") -> Iterator[Path]:
    """Yield a temporary path; its file replaces `path` when the block ends without an error.

    Missing folders are created. A symbolic link stays, and the file that it points to is replaced.
    For a device or a pipe, which cannot be replaced, the path itself is yielded. `suffix` is for
    writers that choose the format by it. OSError is not translated.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        yield target
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # Each writer has a different name, and a short one: file systems allow at most 255 bytes.
    unfinished = target.with_name(f".{os.getpid()}-{next(_numbers)}{suffix}")
    try:
        yield unfinished
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically. Raises OutputError."""
    with reporting(path), replacing(path) as unfinished:
        unfinished.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically. Raises OutputError."""
    write_bytes(path, text.encode())
