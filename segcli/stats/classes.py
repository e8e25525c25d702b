"""Statistics of each class: DuckDB passes over one or two columns of the rows each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segcli.stats.groups import split
from segcli.store.query import Rows

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
NAMES = tuple(f"p{round(100 * level):02d}" for level in LEVELS)
GRID = 10
"""The position map is GRID x GRID cells of the image."""

SCORE_BINS = 20
AREA_BINS_PER_TENFOLD = 4

_SMALL, _LARGE = 32**2, 96**2
"""px: COCO's limits between small, medium and large."""

_WORD = 62  # categories per integer of a set


def class_table(rows: Rows, images: int) -> list[dict[str, Any]]:
    """One mapping per class, most masks first. Needs the view `chosen`.

    `images` were done; `images_with` of them have the class. `per_image` is over all images,
    `per_image_with_mean` and `per_image_with_median` are over those that have the class.
    """
    counts = {row["category_id"]: row for row in rows.dicts(_COUNTS)}
    quantiles = {
        name: {number: found for number, found in rows.tuples(_QUANTILES.format(sql))}
        for name, sql in _MEASURED.items()
    }
    table = []
    for row in rows.dicts(_VALUES):
        found: dict[str, Any] = {"category": row["category"], "category_id": row["category_id"]}
        count = counts[row["category_id"]]
        found |= {
            "images": images,
            "images_with": count["images"],
            "image_share": count["images"] / images if images else 0.0,
            "masks": row["masks"],
            "per_image": row["masks"] / images if images else 0.0,
            "per_image_with_mean": count["mean"],
            "per_image_with_median": count["median"],
            "per_image_max": count["max"],
            "score_mean": row["score_mean"],
        }
        for value, known in quantiles.items():
            levels = zip(NAMES, known[row["category_id"]], strict=True)
            found |= {f"{value}_{name}": quantile for name, quantile in levels}
        shares = ("small", "medium", "large", "border")
        found |= {f"{name}_share": row[name] / row["masks"] for name in shares}
        table.append(found)
    return table


def count_per_image(rows: Rows) -> None:
    """Makes the table `per_image` (image, category_id, n) that the others read."""
    rows.execute(
        "CREATE OR REPLACE TABLE per_image AS SELECT image, category_id, count(*)::INTEGER AS n "
        "FROM chosen GROUP BY ALL"
    )


_COUNTS = """
SELECT category_id, count(*) AS images, avg(n) AS mean, median(n) AS median, max(n) AS max
FROM per_image GROUP BY category_id"""

_VALUES = f"""
SELECT category_id, any_value(category) AS category, count(*) AS masks,
  avg(score) AS score_mean,
  count(*) FILTER (area < {_SMALL}) AS small,
  count(*) FILTER (area >= {_SMALL} AND area < {_LARGE}) AS medium,
  count(*) FILTER (area >= {_LARGE}) AS large,
  count(*) FILTER (bbox.x <= 1 OR bbox.y <= 1 OR bbox.x + bbox.w >= width - 1
    OR bbox.y + bbox.h >= height - 1) AS border
FROM chosen GROUP BY category_id ORDER BY masks DESC, category_id"""

_MEASURED = {
    "score": "score",
    "area": "area::DOUBLE",
    "share": "area / (height::DOUBLE * width)",
    "aspect": "bbox.w / greatest(bbox.h, 1e-6)",
}
# Exact quantiles keep all values of one measure in memory; hence one measure at a time.
_QUANTILES = (
    f"SELECT category_id, quantile_cont({{}}, {list(LEVELS)}) FROM chosen GROUP BY category_id"
)

_BINS = f"""
SELECT category_id, cell, score_bin, area_bin, count(*) AS n FROM (
  SELECT category_id,
    least(floor((bbox.x + bbox.w / 2) / width * {GRID}), {GRID - 1})::INTEGER
      + {GRID} * least(floor((bbox.y + bbox.h / 2) / height * {GRID}), {GRID - 1})::INTEGER AS cell,
    least(floor(score * {SCORE_BINS}), {SCORE_BINS - 1})::INTEGER AS score_bin,
    floor(log10(area) * {AREA_BINS_PER_TENFOLD})::INTEGER AS area_bin
  FROM chosen)
GROUP BY GROUPING SETS ((category_id, cell), (category_id, score_bin), (category_id, area_bin))"""


def distributions(rows: Rows) -> dict[int, dict[str, dict[int, int]]]:
    """Masks of each category id per "cell" (row-major, from the top left), "score_bin" (of
    1 / SCORE_BINS) and "area_bin" (from 10 ** (bin / AREA_BINS_PER_TENFOLD) px on)."""
    found: dict[int, dict[str, dict[int, int]]] = {}
    for row in rows.dicts(_BINS):
        bins = found.setdefault(row["category_id"], {"cell": {}, "score_bin": {}, "area_bin": {}})
        for kind, counts in bins.items():
            if row[kind] is not None:
                counts[row[kind]] = row["n"]
    return found


def together(rows: Rows, ids: Sequence[int]) -> dict[tuple[int, int], int]:
    """Images that have masks of both categories (a, b), a before b in `ids`; only those above 0."""
    code = {number: index for index, number in enumerate(ids)}
    words = range(-(-len(ids) // _WORD))
    coded = " ".join(f"WHEN {number} THEN {index}" for number, index in code.items())
    if not coded:
        return {}
    masks = ", ".join(
        f"bit_or(CASE WHEN code // {_WORD} = {w} THEN 1::BIGINT << (code % {_WORD}) ELSE 0 END) "
        f"AS w{w}"
        for w in words
    )
    names = ", ".join(f"w{w}" for w in words)
    sets = rows.tuples(
        f"SELECT {names}, count(*) FROM (SELECT {masks} FROM (SELECT image, "
        f"(CASE category_id {coded} END)::INTEGER AS code FROM per_image) GROUP BY image) "
        f"GROUP BY {names}"
    )
    pairs: dict[tuple[int, int], int] = {}
    for *bits, count in sets:
        present = [n for n, i in code.items() if bits[i // _WORD] >> (i % _WORD) & 1]
        for index, one in enumerate(present):
            for other in present[index + 1 :]:
                pairs[one, other] = pairs.get((one, other), 0) + count
    return pairs


def counted_together(
    pairs: Mapping[tuple[int, int], int], table: Sequence[Mapping[str, Any]]
) -> list[list[int]]:
    """A square of the classes in `table`: images with both of a row and a column, and on the
    diagonal those with the class at all. `pairs` as `together` gives them."""
    ids = [row["category_id"] for row in table]
    return [
        [row["images_with"] if a == b else pairs.get((a, b), pairs.get((b, a), 0)) for b in ids]
        for a, row in zip(ids, table, strict=True)
    ]


def group_table(
    rows: Rows,
    titles: Sequence[str],
    *,
    pictures: str = "pictures",
    masks: str = "chosen",
    group: str = "grp",
) -> list[dict[str, Any]]:
    """One mapping per group and class; a group of images without any mask has one without a class.

    The names mean what they mean in `class_table`; `images` are those of the group, whose parts
    stand in the columns `titles`.

    Needs the views `masks` and `pictures`, in which `group` is the text of a group.
    """
    sql = _GROUPS.format(pictures=pictures, masks=masks, group=group)
    return [split(row, titles) for row in rows.dicts(sql)]


_GROUPS = """
SELECT p.grp AS "group", category, category_id, p.images, count(DISTINCT m.image) AS images_with,
  count(m.image) AS masks, count(m.image) / p.images AS per_image, median(score) AS score_p50,
  median(area) AS area_p50
FROM (SELECT {group} AS grp, count(*) AS images FROM {pictures} GROUP BY 1) p
  LEFT JOIN (SELECT * EXCLUDE (grp), {group} AS grp FROM {masks}) m ON m.grp = p.grp
GROUP BY p.grp, category, category_id, p.images ORDER BY p.grp, masks DESC, category_id"""
