"""Several sources in one run: the keys of each begin with its name.

A name is given as NAME=PATH; otherwise it is that of the folder, list or manifest. Single files
keep their own names if they are all in one folder; otherwise the name of the folder comes first, as
if the folder had been given.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from segcli.cloud.urls import is_url, shown
from segcli.errors import UsageError
from segcli.keys import prefixed
from segcli.sources import NothingFound, Source, is_manifest, open_source
from segcli.sources.folder import is_media_name
from segcli.sources.remote import LIST_SUFFIXES
from segcli.types import Sample

_NAMED = re.compile(r"([^=:]*[^=:/])=(.+)", re.DOTALL)


def open_sources(
    locations: Sequence[str], *, key_prefix: str = "", column: str | None = None, **options: Any
) -> Source:
    """Combine sources, each a path or NAME=PATH, into one; `options` are those of `open_source`.
    `column` applies to all manifests among them.

    If one of several sources has no image, `Source.notes` gets a sentence. Raises UsageError if all
    have none, if one cannot be opened, or if two would have the same keys.
    """
    if not locations:
        raise UsageError("no source was given; expected a folder, a file or several of them")
    named = [name_and_path(location) for location in locations]
    if len(named) == 1 and not named[0][0]:
        return open_source(named[0][1], key_prefix=key_prefix, column=column, **options)
    names = _names(named) if len(named) > 1 else [named[0][0]]
    opened: list[Source] = []
    empty: list[NothingFound] = []
    columns = _columns([path for _, path in named], column)
    for (_, path), name, own_column in zip(named, names, columns, strict=True):
        prefix = _prefix(key_prefix, name, path)
        try:
            source = open_source(path, key_prefix=prefix, column=own_column, **options)
        except NothingFound as error:
            empty.append(error)
        else:
            opened.append(replace(source, roots={prefix: source.root}))
    if not opened:
        raise empty[0]
    if len(named) == 1:
        return opened[0]
    return _joined(opened, [f"{error}: left out" for error in empty])


def _prefix(key_prefix: str, name: str, path: str) -> str:
    """Both as folders before the keys. Raises UsageError if a name would have to be escaped."""
    prefix = "".join(part.rstrip("/") + "/" for part in (key_prefix, name) if part.strip("/"))
    if prefixed("", prefix) != prefix:
        raise UsageError(
            f"the name of {shown(path)!r} has bytes or backslashes that keys escape; give another: "
            "NAME=PATH"
        )
    return prefix


def name_and_path(location: str) -> tuple[str, str]:
    """(name, path); if the whole text is an existing path, there is no name."""
    match = _NAMED.fullmatch(location)
    if match is None or os.path.lexists(location):
        return "", location
    name = match[1].strip("/")
    if not name or {"", ".", ".."} & {*name.split("/")}:
        raise UsageError(
            f"{shown(location)!r}: {match[1]!r} cannot be a name in keys; expected NAME=PATH, as "
            "in cam1=/footage/cam1"
        )
    return name, match[2]


def _columns(paths: Sequence[str], column: str | None) -> list[str | None]:
    """`column` for the manifests; a single source always gets it, so that it is checked."""
    if column is None or len(paths) == 1:
        return [column] * len(paths)
    manifests = [(is_url(path) or os.path.isfile(path)) and is_manifest(path) for path in paths]
    if not any(manifests):
        raise UsageError(
            f"`column` {column!r} was given, but none of the sources is a Parquet manifest: leave "
            "it away"
        )
    return [column if is_one else None for is_one in manifests]


def _names(named: Sequence[tuple[str, str]]) -> list[str]:
    """The beginning of the keys of each source. Raises UsageError if two would share keys."""
    own = [_has_own_root(path) for _, path in named]
    roots = [
        os.path.realpath(path if is_own else _folder(path))
        for (_, path), is_own in zip(named, own, strict=True)
    ]
    of_root = {
        root: os.path.basename(os.path.abspath(path))
        for (name, path), root, is_own in zip(named, roots, own, strict=True)
        if is_own and not name
    }
    loose = [not is_own and not name for (name, _), is_own in zip(named, own, strict=True)]
    folders = {root for root, is_loose in zip(roots, loose, strict=True) if is_loose} - {*of_root}
    if len(folders) == 1:
        of_root |= dict.fromkeys(folders, "")
    names = []
    for (name, path), root, is_loose in zip(named, roots, loose, strict=True):
        folder = _folder(path) if is_loose else path
        names.append(name or of_root.get(root, os.path.basename(os.path.abspath(folder))))
        if not names[-1] and not is_loose:
            raise UsageError(
                f"{shown(path)!r} has no name for its keys; give it one: NAME={shown(path)}"
            )
    _refuse_shared(named, roots, names)
    return names


def _refuse_shared(
    named: Sequence[tuple[str, str]], roots: Sequence[str], names: Sequence[str]
) -> None:
    taken: dict[str, tuple[str, str]] = {}
    for (_, path), root, name in zip(named, roots, names, strict=True):
        there, earlier = taken.setdefault(name, (root, path))
        if there != root:
            raise _shared(earlier, path, name)
    for (_, path), name in zip(named, names, strict=True):
        key = name or os.path.basename(path)
        above = {key[:i] for i, letter in enumerate(key) if letter == "/"}
        for inside in taken.keys() & (above | {key} - {name}):
            raise _shared(taken[inside][1], path, inside)


def _shared(one: str, other: str, name: str) -> UsageError:
    return UsageError(
        f"the keys of {shown(one)!r} and {shown(other)!r} would both begin with '{name}/'; "
        f"give one of them another name: NAME={shown(other)}"
    )


def _has_own_root(location: str) -> bool:
    """Whether keys are relative to the source itself: a folder, list, manifest or URL. Those of
    a single file are relative to its folder."""
    if is_url(location) or os.path.isdir(location):
        return True
    if is_media_name(location):
        return False
    return location.lower().endswith(LIST_SUFFIXES) or (
        os.path.isfile(location) and is_manifest(location)
    )


def _folder(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))


def _joined(sources: Sequence[Source], notes: Sequence[str]) -> Source:
    """One source that lists all sources in turn."""
    roots = {prefix: root for source in sources for prefix, root in source.roots.items()}
    left_out, unread, unnamed = set[str](), set[str](), dict[str, int]()

    def listed(wanted: Callable[[str], bool] | None = None) -> Iterator[Sample]:
        for source in sources:
            try:
                yield from source if wanted is None else source.only(wanted)
            finally:
                left_out.update(source.left_out)
                unread.update(source.unread)
                unnamed.update(source.unnamed)

    return Source(
        "; ".join(roots.values()),
        listed,
        _carried(sources),
        (*notes, *(note for source in sources for note in source.notes)),
        sift=listed,
        left_out=left_out,
        unread=unread,
        unnamed=unnamed,
        is_folder=all(source.is_folder for source in sources),
        roots=roots,
        containers=sources[0].containers,
    )


def _carried(sources: Sequence[Source]) -> Mapping[str, Any]:
    """The columns of all manifests; they are null for samples of other sources."""
    carried: dict[str, Any] = {}
    for source in sources:
        for name, kind in source.carried.items():
            if carried.setdefault(name, kind) != kind:
                raise UsageError(
                    f"column {name!r} is {carried[name]} in one of the manifests and {kind} in "
                    f"{source.root!r}; expected one type: use several outputs"
                )
    return carried
