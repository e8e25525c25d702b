"""What of an output is exported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from segcli.errors import UsageError
from segcli.store import MinScores, min_scores, read_images, read_settings
from segcli.store.image_masks import ImageMasks, read_image_masks
from segcli.suggest import did_you_mean

_IMAGE = ["key", "status", "height", "width", "frame"]


@dataclass(frozen=True, slots=True)
class Selection:
    """The images of an output and the masks to export, to be read as often as a format needs.

    `ids`: category -> id, in the order of the run, counted from 1 where it has an id below that;
    `wanted` those of the categories that are exported.
    """

    path: Path
    ids: Mapping[str, int]
    wanted: frozenset[str]
    min_score: MinScores
    key: str | None = None

    @property
    def names(self) -> list[str]:
        """The categories that are exported, in the order of the run."""
        return [name for name in self.ids if name in self.wanted]

    def images(self) -> Iterator[ImageMasks]:
        """Images without their masks; failed ones, whose size is not known, are left out."""
        for batch in read_images(self.path, columns=_IMAGE):
            for row in batch.to_pylist():
                if row.pop("status") == "ok" and self._matches(row["key"]):
                    yield ImageMasks(**row)

    def with_masks(self) -> Iterator[ImageMasks]:
        """The same in the same order, with their masks; those without any are there as well."""
        return read_image_masks(
            self.path, min_score=self.min_score, categories=self.wanted, key=self.key
        )

    def _matches(self, key: str) -> bool:
        return self.key is None or fnmatchcase(key, self.key)


def select(
    path: Path,
    *,
    min_score: float | None = None,
    categories: Sequence[str] | None = None,
    key: str | None = None,
) -> Selection:
    """`min_score` None: the model's default scores. Raises UsageError for unknown categories."""
    settings = read_settings(path)
    ids = settings["category_ids"]
    if min(ids, default=1) < 1:  # several tools take 0 for the background
        ids = range(1, len(ids) + 1)
    known = dict(zip(settings["category_names"], ids, strict=True))
    for name in categories or ():
        if name not in known:
            raise UsageError(
                f"--categories: {path} knows no {name!r}; it knows: {', '.join([*known][:20])}"
                f"{did_you_mean(name, list(known))}"
            )
    lowest = min_scores(settings, min_score)
    return Selection(path, known, frozenset(categories or known), lowest, key)
