"""The contents of an output and the process that writes to it, in any state."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segcli.cloud.ahead import in_threads
from segcli.cloud.errors import StoreError
from segcli.cloud.objects import Listed
from segcli.cloud.urls import shown, url_of
from segcli.errors import UsageError
from segcli.store.directory import (
    lease_url,
    list_bucket_parts,
    list_parts,
    lock_path,
    parts_among,
    resolve,
)
from segcli.store.footer import ROOT, Footer
from segcli.store.lease import find_holder
from segcli.store.lock import holder
from segcli.store.part_file import read_footer
from segcli.store.pruned import count_pruned
from segcli.store.shard_leases import has_shards


@dataclass(slots=True)
class Status:
    """`size` in bytes; `newest` is when the last part was committed (ISO 8601, UTC).

    `pruned` images had rows, which `segcli prune` has removed; they are in no other count.
    `settings` are those of the run that made a part (all parts of an output agree), `sources` maps
    each key prefix to where its images came from. `writer` is None when nobody holds the lock,
    else {"pid", "host"}, {"shards": True}, or {} when it is unknown. `problems` are sentences about
    parts that cannot be read and about files that are not parts.
    """

    out: str
    images: int = 0
    masks: int = 0
    failed: int = 0
    static: int = 0
    pruned: int = 0
    parts: int = 0
    size: int = 0
    newest: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    writer: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)


def status(path: Path) -> Status:
    """Read the footers of the parts; takes no lock and writes nothing.

    A folder without parts, one that does not exist yet but is being written, and one with damaged
    parts all have a status. Raises UsageError if `path` is not an output.
    """
    real = resolve(path)
    if (url := url_of(real)) is not None:
        return _bucket_status(url)
    found = Status(str(path), writer=holder(lock_path(real)))
    if not real.is_dir() and (real.exists() or found.writer is None):
        what = "is a file" if real.exists() else "does not exist"
        raise UsageError(
            f"{path} {what}; expected the output of a run: `segcli predict SOURCE` with "
            f"`out={str(path)!r}`"
        )
    newest = 0.0
    for name in _parts(real, found):
        part = real / name
        try:
            footer, about = read_footer(part), part.stat()
        except (OSError, UsageError) as error:
            if part.exists():  # else it has just been replaced by `segcli compact`
                found.problems.append(str(error))
            continue
        _add(found, footer)
        found.size += about.st_size
        newest = max(newest, about.st_mtime)
    if newest:
        found.newest = datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds")
    try:
        found.pruned = count_pruned(real)
    except UsageError as error:
        found.problems.append(str(error))
    return found


def _bucket_status(url: str) -> Status:
    """A holder of the lease may be dead: only its end or a run that waits for it shows that."""
    try:
        whole = find_holder(lease_url(url))
        shards = {"shards": True} if whole is None and has_shards(url) else None
        found = Status(url, writer=shards if whole is None else whole.process)
    except StoreError as error:
        raise UsageError(f"cannot read {shown(url)}: {error}") from None
    newest = 0
    parts = list[tuple[str, Listed]]()
    try:
        parts.extend(list_bucket_parts(url))
    except UsageError as error:
        found.problems.append(str(error))
    paths = [Path(url) / name for name, _ in parts]
    for (_, listed), footer in zip(parts, in_threads(_footer_or_why, paths), strict=True):
        if isinstance(footer, str):
            found.problems.append(footer)
            continue
        _add(found, footer)
        found.size += listed.size
        newest = max(newest, listed.mtime_ns or 0)
    try:
        found.pruned = count_pruned(Path(url))
    except UsageError as error:
        found.problems.append(str(error))
    if not parts and found.writer is None:
        raise UsageError(
            "; ".join(found.problems)
            or f"{url} does not exist; expected the output of a run: `segcli predict SOURCE` with "
            f"`out={url!r}`"
        )
    if newest:
        found.newest = datetime.fromtimestamp(newest // 10**9, UTC).isoformat(timespec="seconds")
    return found


def _footer_or_why(part: Path) -> Footer | str:
    try:
        return read_footer(part)
    except UsageError as error:
        return str(error)


def _parts(real: Path, found: Status) -> list[str]:
    try:
        return list_parts(real)
    except UsageError as error:
        found.problems.append(str(error))
        return parts_among(real)


def _add(found: Status, footer: Footer) -> None:
    found.parts += 1
    found.images += footer.images
    found.masks += footer.masks
    found.failed += footer.failed
    found.static += footer.static
    settings = footer.settings
    if not found.settings:
        found.settings = {
            **{
                name: value for name, value in settings.recorded.items() if name != "category_names"
            },
            **{name: value for name, value in settings.compared.items() if name != ROOT},
            "category_names": list(footer.category_names),
        }
    roots = found.sources.setdefault(settings.key_prefix, [])
    root = str(settings.compared.get(ROOT))
    if root not in roots:
        roots.append(root)
