"""Parts in a bucket, as files for what reads files only."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from segcli.cloud.ahead import in_threads
from segcli.cloud.errors import StoreError
from segcli.cloud.objects import fetch
from segcli.cloud.urls import url_of
from segcli.errors import OutputError, UsageError


@contextlib.contextmanager
def on_disk(parts: Sequence[Path]) -> Iterator[list[Path]]:
    """The parts as paths of files, in their order: copies that are gone afterwards, for those in a
    bucket, and the others themselves. Raises UsageError, and OutputError when the disk is full.
    """
    if not any(url_of(path) for path in parts):
        yield list(parts)
        return
    with tempfile.TemporaryDirectory(prefix="segcli-parts-") as folder:
        yield list(in_threads(partial(_copy, folder=Path(folder)), enumerate(parts)))


def _copy(numbered: tuple[int, Path], folder: Path) -> Path:
    number, part = numbered  # in partitions, two parts may have the same name
    url = url_of(part)
    if url is None:
        return part
    copy = folder / f"{number}-{part.name}"
    try:
        copy.write_bytes(fetch(url).data)
    except StoreError as error:
        raise UsageError(f"cannot read the part {url}: {error}") from None
    except OSError as error:
        raise OutputError(f"cannot copy {url} to {folder}: {error.strerror}") from None
    return copy
