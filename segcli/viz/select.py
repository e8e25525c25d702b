"""Select the images and masks to draw from the rows of an output, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from segcli.errors import UsageError
from segcli.store import MinScores
from segcli.store.image_filter import image_condition
from segcli.store.image_masks import COLUMNS, ImageMasks, grouped
from segcli.store.query import Rows, literal
from segcli.zones import ZonePass


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for; None and empty mean: everything.

    `where` is an SQL condition over the rows, `where_image` one over the columns of images, `key` a
    pattern (* ? [...]), `keys` a fixed list.
    `zones` gives masks their zones, and drops what they drop.
    `sample` images are chosen by the hash of their key and `seed`: the same ones every time.
    """

    min_score: MinScores
    where: str | None = None
    key: str | None = None
    where_image: str | None = None
    keys: tuple[str, ...] | None = None
    categories: tuple[str, ...] = ()
    sample: int | None = None
    seed: int = 0
    zones: ZonePass | None = None

    @property
    def restricts(self) -> bool:
        """Images without any chosen mask are left away."""
        return self.where is not None or bool(self.categories)


def find(rows: Rows, wanted: Wanted) -> Iterator[ImageMasks]:
    """The images in the order of the parts. Raises UsageError for a wrong `where`."""
    if wanted.where is not None:
        rows.check(wanted.where, "--where")
    _check_categories(rows, wanted.categories)
    parts: Sequence[int] = range(rows.parts)
    condition = _of_image(rows, wanted)
    if wanted.sample is not None or wanted.keys is not None:
        _choose_keys(rows, wanted)
        condition += " AND key IN (SELECT key FROM chosen_keys)"
        found = rows.tuples("SELECT DISTINCT part FROM rows SEMI JOIN chosen_keys USING (key)")
        parts = sorted(number for (number,) in found)
    there = {*rows.columns}  # older outputs do not have all columns
    plain = ", ".join(
        name if name in there else f"NULL AS {name}" for name in COLUMNS if name != "rle"
    )
    if "src_taken" in there:
        plain += ", try_cast(src_taken AS TIMESTAMP)::VARCHAR AS taken"
    for part in parts:
        sql = (
            f"SELECT {plain}, CASE WHEN chosen THEN rle END AS rle, chosen FROM "
            f"(SELECT *, {_chosen(wanted)} AS chosen FROM {rows.part(part)}) "
            f"WHERE {condition} AND (chosen OR mask IS NULL OR mask = 0)"
        )
        for image in grouped(rows.stream(sql)):
            if wanted.zones is not None:
                image = wanted.zones.image(image)
            if image.masks or not wanted.restricts:
                yield image


def _chosen(wanted: Wanted) -> str:
    """True for a row whose mask is wanted."""
    terms = [f"mask IS NOT NULL AND {wanted.min_score.condition()}"]
    if wanted.where is not None:
        terms.append(f"coalesce((\n{wanted.where}\n)::BOOLEAN, false)")
    if wanted.categories:
        terms.append(f"category IN ({', '.join(literal(name) for name in wanted.categories)})")
    return f"({' AND '.join(terms)})"


def _of_image(rows: Rows, wanted: Wanted) -> str:
    """The condition on an image."""
    passes = image_condition(rows, key=wanted.key, where_image=wanted.where_image)
    return f"status = 'ok' AND {passes}"


def _choose_keys(rows: Rows, wanted: Wanted) -> None:
    """Makes the table `chosen_keys`."""
    condition, values = _of_image(rows, wanted), dict[str, Any]()
    if wanted.restricts:
        condition += f" AND {_chosen(wanted)}"
    if wanted.keys is not None:
        condition += " AND list_contains($keys, key)"
        values["keys"] = list(wanted.keys)
    order = ""
    if wanted.sample is not None:
        # md5 is the same in every version of DuckDB; its own hash() is not promised to be.
        order = "ORDER BY md5(concat($seed, ' ', key)), key LIMIT $sample"
        values |= {"seed": str(wanted.seed), "sample": wanted.sample}
    rows.execute(
        f"CREATE OR REPLACE TABLE chosen_keys AS "
        f"SELECT key FROM (SELECT DISTINCT key FROM rows WHERE {condition}) {order}",
        values,
    )


def _check_categories(rows: Rows, names: Sequence[str]) -> None:
    if not names:
        return
    known = [
        name
        for (name,) in rows.tuples(
            "SELECT DISTINCT category FROM rows WHERE category IS NOT NULL ORDER BY 1"
        )
    ]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"--categories: no mask is a {unknown[0]!r}; there are masks of: "
            f"{', '.join(known) or 'nothing'}"
        )
