"""Read text files of other programs, with or without a byte-order mark."""

from __future__ import annotations

from pathlib import Path

from segcli.errors import UsageError


def read_bytes(path: Path) -> bytes:
    """Raises UsageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None


def read_text(path: Path) -> str:
    """UTF-8, or UTF-16 with its mark. Raises UsageError."""
    data = read_bytes(path)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise UsageError(
            f"{path} is not text in UTF-8; convert it, or is it another file?"
        ) from None
