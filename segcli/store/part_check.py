"""Check the rows of one part: images, masks and run lengths, and the counts in its footer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segcli.errors import UsageError
from segcli.keys import normalized
from segcli.masks import rle
from segcli.masks.batch import Masks, measure
from segcli.partitions import Partitions
from segcli.store.footer import Footer
from segcli.store.key_index import Mark, pack
from segcli.store.part_file import open_part
from segcli.store.schema import schema

_BATCH_ROWS = 4096
_STATUSES = ("ok", "static", "failed")
_NAMED = 10  # problems of a part that are named one by one, so that memory stays bounded


@dataclass(frozen=True, slots=True)
class Problem:
    """`problem` is a sentence about the image `key` in `part`; None: not about a single one."""

    part: str | None
    key: str | None
    problem: str


def first_few(part: str, found: Iterator[Problem]) -> list[Problem]:
    """The first problems of a part, and how many more there are."""
    first: list[Problem] = []
    more = 0
    for problem in found:
        if len(first) < _NAMED:
            first.append(problem)
        else:
            more += 1
    return [*first, Problem(part, None, f"and {more:,} more")] if more else first


@dataclass(slots=True)
class PartCheck:
    """What the rows of a part are: counts, and the keys as `key_index.pack` makes them.

    `read` has to be used up first.
    """

    path: Path
    name: str
    number: int
    images: int = 0
    failed: int = 0
    static: int = 0
    masks: int = 0
    _partitions: Partitions | None = None
    _packed: list[NDArray[np.uint64]] = field(default_factory=list)
    _ok: set[str] = field(default_factory=set)
    _repeats: list[tuple[str, str]] = field(default_factory=list)
    _key: str | None = None
    _expected: int | None = None
    _seen: int = 0

    @property
    def packed(self) -> NDArray[np.uint64]:
        return np.concatenate([np.empty((2, 0), np.uint64), *self._packed], axis=1)

    def read(self) -> Iterator[Problem]:
        """Decode every page of every column; raises UsageError as `open_part` does."""
        with open_part(self.path) as (file, footer):
            wrong = _foreign_columns(file.schema_arrow, footer)
            if wrong:
                yield self._problem(None, f"its columns are not segcli's: {', '.join(wrong)}")
            self._partitions = Partitions.of(footer.settings.compared)
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                batch.validate(full=True)
                if not wrong:
                    yield from self._images(batch)
                    yield from self._run_lengths(batch)
            if not wrong:
                yield from self._end_image()
                yield from self._without_masks()
                yield from self._counts(footer)

    def _problem(self, key: str | None, problem: str) -> Problem:
        return Problem(self.name, key, problem)

    def _images(self, batch: pa.RecordBatch) -> Iterator[Problem]:
        """The masks of an image follow one another and are numbered 0, 1, 2, ..."""
        keys: list[Mark] = []
        names = ("key", "status", "mask", "masks")
        columns = [batch[name].to_pylist() for name in names]
        has_repeats = "repeats" in batch.schema.names  # an older output has no static images
        columns.append(batch["repeats"].to_pylist() if has_repeats else [None] * len(batch))
        for key, status, mask, masks, repeats in zip(*columns, strict=True):
            if key is None:
                yield self._problem(None, "a row has no key")
                continue
            self.masks += mask is not None
            if mask:
                if key != self._key or mask != self._seen:
                    yield self._problem(key, f"mask {mask} does not follow mask {mask - 1}")
                self._seen = mask + 1
                continue
            yield from self._end_image()
            self._key, self._expected, self._seen = key, masks, 0 if mask is None else 1
            self.images += 1
            self.failed += status == "failed"
            self.static += status == "static"
            if status == "ok":
                self._ok.add(key)
            if repeats is not None:
                self._repeats.append((key, repeats))
            keys.append(Mark(normalized(key), None, None, failed=False))
            if (folder := self._other_partition(key)) is not None:
                yield self._problem(key, f"its partition is {folder}")
            if status not in _STATUSES or (status != "ok") != (masks is None):
                yield self._problem(key, f"its status is {status!r}, its column `masks` {masks}")
            if (status == "static") != (repeats is not None):
                yield self._problem(key, f"its status is {status!r}, its `repeats` {repeats!r}")
        self._packed.append(pack(keys, self.number, fresh=False))

    def _other_partition(self, key: str) -> str | None:
        """The partition of an image, if the part is in another one."""
        folder = "" if self._partitions is None else self._partitions.folder(key)
        is_here = _alike(folder) == _alike(self.name.rpartition("/")[0])
        return None if is_here else folder or "none"

    def _end_image(self) -> Iterator[Problem]:
        if self._seen != (self._expected or 0):
            text = f"the image has {self._seen} rows of masks, and its column `masks` has "
            yield self._problem(self._key, f"{text}{self._expected}")

    def _without_masks(self) -> Iterator[Problem]:
        for key, repeats in self._repeats:
            if repeats not in self._ok:
                yield self._problem(
                    key, f"it repeats {repeats!r}, which is not an ok image of this part"
                )

    def _run_lengths(self, batch: pa.RecordBatch) -> Iterator[Problem]:
        rows = batch.filter(batch["mask"].is_valid())
        texts = rows["rle"].fill_null(b"").to_pylist()
        sizes = np.stack([_numbers(rows["height"]), _numbers(rows["width"])], axis=1)
        areas = _numbers(rows["area"])
        try:
            whole = measure(Masks.of(texts), sizes, name=str)
            if (whole == areas).all():
                return
        except UsageError:
            pass  # looked at one by one below
        keys, masks = rows["key"].to_pylist(), rows["mask"].to_pylist()
        for key, mask, text, size, area in zip(keys, masks, texts, sizes, areas, strict=True):
            if (wrong := _wrong_mask(text, size.tolist(), int(area))) is not None:
                yield self._problem(key, f"mask {mask}: {wrong}")

    def _counts(self, footer: Footer) -> Iterator[Problem]:
        for name in ("images", "failed", "static", "masks"):
            stated, found = getattr(footer, name), getattr(self, name)
            if stated != found:
                what = f"{name} images" if name in ("failed", "static") else name
                yield self._problem(None, f"its footer has {stated:,} {what}, its rows {found:,}")


def _foreign_columns(columns: pa.Schema, footer: Footer) -> list[str]:
    """Those of segcli's columns that are missing or have another type."""
    wanted = schema({}, footer.schema_version)
    there = {column.name: column.type for column in columns}
    return [column.name for column in wanted if there.get(column.name) != column.type]


def _numbers(column: pa.Array) -> NDArray[np.int64]:
    """0, which is no side of an image, where there is none."""
    numbers: NDArray[np.int64] = column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _wrong_mask(text: bytes, size: Sequence[int], area: int) -> str | None:
    try:
        inside = rle.area(text, size[0], size[1])
    except UsageError as error:
        return str(error)
    return None if inside == area else f"its area is {area} px, its run lengths have {inside}"


def _alike(folder: str) -> str:
    """Folders that are the same on file systems which ignore case or the form of Unicode."""
    return normalize("NFC", folder).casefold()
