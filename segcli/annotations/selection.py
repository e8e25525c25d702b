"""Selection of the images and masks to export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segcli.categories import known_name
from segcli.errors import UsageError
from segcli.keypoints import Skeleton, skeletons_of
from segcli.store import MinScores, min_scores, part_paths, read_rows, read_settings
from segcli.store.image_filter import image_condition
from segcli.store.image_masks import ImageMasks, read_image_masks
from segcli.store.query import Rows
from segcli.store.repeated import Static
from segcli.suggest import did_you_mean

_IMAGE = ["key", "status", "height", "width", "frame", "mask"]


@dataclass(frozen=True, slots=True)
class Selection:
    """The images of an output and the masks to export, to be read as often as a format needs.

    `ids`: category -> id, in the order of the run, counted from 1 where it has an id below that;
    `wanted` those of the categories that are exported; `keys` the images, all of them if None;
    `skeletons` the keypoints of the categories that have some. `static` "repeat": static images are
    exported with the masks that they repeat; else they are left out. `placed` changes each image
    with its masks (`zones.ZonePass`).
    """

    path: Path
    ids: Mapping[str, int]
    wanted: frozenset[str]
    min_score: MinScores
    keys: frozenset[str] | None = None
    skeletons: Mapping[str, Skeleton] = field(default_factory=dict)
    static: Static = "repeat"
    placed: Callable[[ImageMasks], ImageMasks] | None = None

    @property
    def names(self) -> list[str]:
        """The categories that are exported, in the order of the run."""
        return [name for name in self.ids if name in self.wanted]

    def images(self) -> Iterator[ImageMasks]:
        """Images without their masks; failed ones, whose size is not known, are left out."""
        for batch in read_rows(self.path, columns=_IMAGE, static=self.static):
            for row in batch.to_pylist():
                is_first, status = not row.pop("mask"), row.pop("status")
                if is_first and status == "ok" and self._matches(row["key"]):
                    yield ImageMasks(**row)

    def with_masks(self) -> Iterator[ImageMasks]:
        """The same in the same order, with their masks; those without any are there as well."""
        found = read_image_masks(
            self.path,
            min_score=self.min_score,
            categories=self.wanted,
            keys=self.keys,
            static=self.static,
        )
        return found if self.placed is None else map(self.placed, found)

    def _matches(self, key: str) -> bool:
        return self.keys is None or key in self.keys


def select(
    path: Path,
    *,
    min_score: float | None = None,
    categories: Sequence[str] | None = None,
    key: str | None = None,
    where_image: str | None = None,
    static: Static = "repeat",
    placed: Callable[[ImageMasks], ImageMasks] | None = None,
) -> Selection:
    """`min_score` None: the model's default scores. `key` is a pattern, `where_image` a condition
    over the columns of images. `static` "ignore" leaves out static images. Raises UsageError for
    unknown categories and a wrong condition."""
    settings = read_settings(path)
    ids = settings["category_ids"]
    if min(ids, default=1) < 1:  # several tools take 0 for the background
        ids = range(1, len(ids) + 1)
    known = dict(zip(settings["category_names"], ids, strict=True))
    wanted = {name: known_name(name, known) for name in categories or ()}
    for name, meant in wanted.items():
        if meant is None:
            raise UsageError(
                f"`categories`: {path} has no category {name!r}; it has: {', '.join([*known][:20])}"
                f"{did_you_mean(name, list(known))}"
            )
    lowest = min_scores(settings, min_score)
    keys = _keys(path, key, where_image, static)
    chosen = frozenset(filter(None, wanted.values())) or frozenset(known)
    skeletons = skeletons_of(settings)
    return Selection(path, known, chosen, lowest, keys, skeletons, static, placed)


def _keys(
    path: Path, key: str | None, where_image: str | None, static: Static
) -> frozenset[str] | None:
    """The images that pass the filters; None without any, as a whole output needs no list."""
    if key is None and where_image is None:
        return None
    with Rows(part_paths(path), static=static) as rows:
        passes = image_condition(rows, key=key, where_image=where_image)
        found = rows.tuples(f"SELECT key FROM rows WHERE (mask IS NULL OR mask = 0) AND {passes}")
    return frozenset(key for (key,) in found)
