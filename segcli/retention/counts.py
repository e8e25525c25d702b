"""The counts of pruned images per day, camera and category."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcli.stats.moments import UNKNOWN
from segcli.store import MinScores
from segcli.store.directory import resolve
from segcli.store.pruned import read_counts
from segcli.store.query import Rows

if TYPE_CHECKING:
    import pyarrow as pa

_COUNTS = """
SELECT strftime(moment, '%Y-%m-%d') AS day, camera, NULL::VARCHAR AS category,
  count(*) AS images, count(*) FILTER (status = 'failed') AS failed,
  count(*) FILTER (status = 'static') AS static,
  NULL::BIGINT AS images_with, NULL::BIGINT AS masks
FROM gone GROUP BY ALL
UNION ALL
SELECT strftime(moment, '%Y-%m-%d'), camera, category, NULL, NULL, NULL,
  count(DISTINCT image), count(*)
FROM gone JOIN (SELECT image, category FROM rows WHERE mask IS NOT NULL AND {condition})
  USING (image) GROUP BY ALL
ORDER BY ALL"""


_OF_IMAGES = ("images", "failed", "static")
_OF_MASKS = ("images_with", "masks")
_NONE: list[tuple[str | None, list[int]]] = [(None, [0, 0])]


def counts_of(rows: Rows, min_score: MinScores) -> pa.Table:
    """Of the images in the table `gone` (image, status, moment, camera).

    A row without a category has the images of a day and camera, failed and static ones too; one
    with a category, its masks from `min_score` on and the images that have some.
    """
    return rows.arrow(_COUNTS.format(condition=min_score.condition()))


def kept_counts(path: Path) -> list[dict[str, Any]]:
    """The counts of all images that were pruned from an output, one line per day, camera and
    category, and one with category None for a day and camera without masks.

    Raises UsageError if none were kept.
    """
    totals: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    masks: defaultdict[tuple[str, str], dict[str, list[int]]] = defaultdict(dict)
    for row in read_counts(resolve(path)).to_pylist():
        group = row["day"], row["camera"] or UNKNOWN  # which earlier versions left out
        if row["category"] is None:
            _add(totals[group], row, _OF_IMAGES)
        else:
            _add(masks[group].setdefault(row["category"], [0, 0]), row, _OF_MASKS)
    return [
        {
            "day": day,
            "camera": camera,
            "category": category,
            "images": images,
            "failed": failed,
            "static": static,
            "images_with": found[0],
            "masks": found[1],
        }
        for (day, camera), (images, failed, static) in sorted(totals.items())
        for category, found in sorted(masks[day, camera].items()) or _NONE
    ]


def _add(into: list[int], row: Mapping[str, Any], names: Sequence[str]) -> None:
    for i, name in enumerate(names):
        into[i] += row[name]
