"""Rows whose files are gone: counted after a complete listing, and removed on request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from segcli.errors import UsageError
from segcli.keys import path_from_key, prefixed
from segcli.pipeline.options import PredictOptions
from segcli.plurals import counted
from segcli.sources import Source
from segcli.store import Output


@dataclass(frozen=True, slots=True)
class Missing:
    """`left` images have rows and no file; the rows of `removed` others are gone too. `left` None:
    not looked for, `reason` why nothing could be removed."""

    left: int | None = None
    removed: int = 0
    reason: str | None = None


def check_prunable(options: PredictOptions, source: Source) -> None:
    """Raises UsageError if the run cannot find out which files are gone."""
    if not options.prune_missing:
        return
    if options.is_limited:
        raise UsageError(
            "`prune_missing` needs a run over the whole source: leave out `limit`, `include`, "
            "`exclude`, `newer_than` and `older_than`"
        )
    if not source.is_folder:
        raise UsageError(
            f"`prune_missing` needs a folder as the source: that {', '.join(options.sources)} does "
            "not list an image says nothing about its file"
        )


def find_missing(options: PredictOptions, source: Source, output: Output) -> Missing:
    """To be called when the source has been listed to its end and everything is committed.

    Removes rows with `prune_missing`, part by part; a dry run only counts them. Raises OutputError.
    """
    if options.is_limited or not source.is_folder:
        return Missing()
    if source.unread:
        return Missing(
            reason=f"{counted(len(source.unread), 'folder')} could not be listed, such as "
            f"{min(source.unread)!r}: their files may be there, so no row was removed"
        )
    left = removed = 0
    for part, keys in _without_file(output):
        left += len(keys)
        if options.prune_missing and not options.dry_run:
            removed += output.remove(part, keys)
    return Missing(left - removed, removed)


def _without_file(output: Output) -> Iterator[tuple[str, list[str]]]:
    """What was not listed may still be there: a frame that `every` left out, an image in a damaged
    archive, a file at the place where the archive was before it was moved."""
    now = output.writer.footer.settings.roots
    for part, footer, keys in output.inventory.unlisted():
        prefix = prefixed("", footer.settings.key_prefix)
        roots = {now[prefix], *footer.roots}
        gone = [key for key in keys if all(_is_gone(root, key, prefix) for root in roots)]
        if gone:
            yield part, gone


def _is_gone(root: str, key: str, prefix: str) -> bool:
    """Only "no such file" counts; other errors say nothing about the file."""
    try:
        path = os.path.join(root, path_from_key(key.removeprefix(prefix)))
        os.stat(path)
    except FileNotFoundError:
        return not _leads_nowhere(path, root)
    except (OSError, ValueError):
        return False
    return False


def _leads_nowhere(path: str, root: str) -> bool:
    """Whether a link on the way to a file points to nothing, as to a disk that is not mounted."""
    while len(path) > len(root):
        if os.path.islink(path) and not os.path.exists(path):
            return True
        path = os.path.dirname(path)
    return False
