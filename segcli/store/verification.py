"""Check all of an output, and move broken parts aside so that their images are done again."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segcli.cloud.urls import is_url, shown
from segcli.errors import UsageError
from segcli.files import reporting
from segcli.store.bucket_place import Bucket
from segcli.store.directory import (
    list_parts,
    make_folders,
    parts_among,
    remove_empty,
    resolve,
    sync_directory,
)
from segcli.store.footer import Footer, differences
from segcli.store.key_index import KeyIndex
from segcli.store.output_lock import lock_output
from segcli.store.part_check import PartCheck, Problem, first_few
from segcli.store.part_file import NotFetched, open_part, read_marks
from segcli.store.schema import column_differences

_PENDING_KEYS = 1_000_000  # 16 MB of keys are collected before they are sorted in
_WORDS = ("here", "in the other parts")


@dataclass(slots=True)
class Verified:
    """What was checked: `parts` whose rows were read, with their images, failed images and masks.

    `removed`: parts that another process removed or replaced before they could be read. `moved`:
    broken parts that are in the folder `moved_to` now.
    """

    out: str
    parts: int = 0
    images: int = 0
    failed: int = 0
    masks: int = 0
    problems: list[Problem] = field(default_factory=list)
    removed: int = 0
    moved: list[str] = field(default_factory=list)
    moved_to: str | None = None
    is_intact: bool = True


def verify(path: Path, *, repair: bool = False, wait: bool = False) -> Verified:
    """Read every part of the output at `path`, and compare its rows, masks, footers and keys.

    Without `repair` it takes no lock and writes nothing, so that it can run during `predict`. With
    it, broken parts are moved to a folder next to the output, under the output's lock, and the next
    run processes their images again. These are parts that cannot be read, that contain something
    wrong, that have other settings than the parts with most of the images, or that repeat a key of
    another part. In a bucket a part is copied, and then removed. Memory: 16 bytes per image, and
    the keys of one part.

    Raises UsageError if `path` is not an output; Locked when another process holds the output
    (unless `wait`), OutputError when a part cannot be moved.
    """
    real = resolve(path)
    if not is_url(real) and not real.is_dir():
        what = "is a file" if real.exists() else "does not exist"
        raise UsageError(f"{path} {what}; expected the output of `segcli predict`")
    if not repair:
        found = Verified(shown(path))
        _Checks(real, found).run()
        found.is_intact = not found.problems
        return found
    with lock_output(path, wait=wait) as lock:
        found = Verified(shown(path))
        broken = _Checks(real, found).run()
        if broken:
            found.moved = sorted(broken)
            found.moved_to = shown(path.with_name(f"{real.name}.broken"))
            if lock.lease is not None:
                Bucket(real, lock.lease.check).set_aside(found.moved)
            else:
                _move(real, found.moved, real.with_name(f"{real.name}.broken"))
        found.is_intact = all(problem.part in broken for problem in found.problems)
        return found


class _Checks:
    """The checks of one output; `run` adds what they find to `found`."""

    def __init__(self, real: Path, found: Verified) -> None:
        self._real = real
        self._found = found
        self._names = self._list()
        self._broken: set[str] = set()
        self._intact: list[int] = []
        self._keys = KeyIndex()

    def run(self) -> set[str]:
        """The names of the broken parts."""
        usual = _most(self._read_footers())
        pending: list[NDArray[np.uint64]] = []
        waiting = repeats = 0
        # From the last to the first: of a key in two parts, the index keeps the first.
        for number in reversed(range(len(self._names))):
            check = PartCheck(self._real / self._names[number], self._names[number], number)
            if not self._check(check, usual):
                continue
            self._intact.append(number)
            pending.append(check.packed)
            waiting += check.packed.shape[1]
            if waiting >= _PENDING_KEYS:
                repeats += self._keys.insert(np.concatenate(pending, axis=1))
                pending, waiting = [], 0
        if pending:
            repeats += self._keys.insert(np.concatenate(pending, axis=1))
        if repeats:
            for number in self._intact:
                name = self._names[number]
                with self._reading(name):
                    self._add(name, first_few(name, self._repeated(number)))
        self._found.problems.sort(key=lambda problem: problem.part or "")
        return self._broken

    def _list(self) -> list[str]:
        try:
            return list_parts(self._real)
        except UsageError as error:
            if is_url(self._real):
                raise
            names = parts_among(self._real)
            if not names:
                raise
            self._found.problems.append(Problem(None, None, str(error)))
            return names

    def _read_footers(self) -> Iterator[_Kind]:
        for name in self._names:
            # What cannot be read is reported when all of it is read.
            with (
                contextlib.suppress(UsageError),
                open_part(self._real / name, whole=False) as (file, footer),
            ):
                yield _Kind(footer, file.schema_arrow, footer.images)

    def _check(self, check: PartCheck, usual: _Kind | None) -> bool:
        """Whether the part is intact."""
        name = check.name
        with self._reading(name):
            self._add(name, first_few(name, check.read()))
            self._found.parts += 1
            self._found.images += check.images
            self._found.failed += check.failed
            self._found.masks += check.masks
            with open_part(check.path, whole=False) as (file, footer):
                other = [] if usual is None else usual.differences(footer, file.schema_arrow)
            if other:
                text = f"it was made with other settings: {'; '.join(other)}"
                self._add(name, [Problem(name, None, text)])
            return name not in self._broken
        return False

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        """A part that cannot be read is a problem, unless it is there no more."""
        try:
            yield
        except UsageError as error:
            cause = error.__cause__
            if isinstance(cause, FileNotFoundError):
                self._found.removed += 1
                return
            self._found.problems.append(Problem(name, None, str(error)))
            if isinstance(error, NotFetched):
                return
            if not isinstance(cause, OSError) or cause.errno in (None, errno.EIO):
                self._broken.add(name)  # else it may be intact, as when permission is denied

    def _add(self, name: str, problems: Sequence[Problem]) -> None:
        self._found.problems += problems
        if problems:
            self._broken.add(name)

    def _repeated(self, number: int) -> Iterator[Problem]:
        """The keys of a part that occur again in it, or are in an earlier part."""
        name = self._names[number]
        marks, _, _ = read_marks(self._real / name)
        seen: set[str] = set()
        for mark in marks:
            entry = self._keys.find(mark.key)
            if mark.key in seen:
                yield Problem(name, mark.key, "the image is in this part twice")
            elif entry is not None and entry.part != number:
                other = self._names[entry.part]
                yield Problem(name, mark.key, f"the image is also in {other}")
            seen.add(mark.key)


@dataclass(slots=True)
class _Kind:
    """Settings and columns, with the number of images that have them."""

    footer: Footer
    columns: pa.Schema
    images: int

    def differences(self, footer: Footer, columns: pa.Schema) -> list[str]:
        found = differences(footer, self.footer, words=_WORDS)
        return found + column_differences(columns, self.columns, words=_WORDS)


def _most(parts: Iterator[_Kind]) -> _Kind | None:
    """The kind of the parts with most of the images; None if no part could be read."""
    kinds: list[_Kind] = []
    for part in parts:
        same = (kind for kind in kinds if not kind.differences(part.footer, part.columns))
        if (kind := next(same, None)) is None:
            kinds.append(part)
        else:
            kind.images += part.images
    return max(kinds, key=lambda kind: kind.images, default=None)


def _move(real: Path, names: Sequence[str], aside: Path) -> None:
    """Rename parts into the folder `aside`, where nothing is overwritten."""
    with reporting(aside, "move broken parts to"):
        aside.mkdir(exist_ok=True)
        sync_directory(aside.parent)
        for name in names:
            make_folders(aside, name)
            os.rename(real / name, _free(aside / name))
            sync_directory((aside / name).parent)
            sync_directory((real / name).parent)
            remove_empty((real / name).parent, real)


def _free(path: Path) -> Path:
    """The path, or the first of NAME.2, NAME.3, ... that is free."""
    others = (path.with_name(f"{path.name}.{number}") for number in count(2))
    return path if not path.exists() else next(other for other in others if not other.exists())
