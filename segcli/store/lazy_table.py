"""An output as a lazy table for other programs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segcli.errors import UsageError
from segcli.store.min_scores import min_scores
from segcli.store.part_reader import part_paths, read_settings
from segcli.store.query import Rows, asked
from segcli.store.repeated import Static
from segcli.store.schema import MASK_COLUMNS

if TYPE_CHECKING:
    import pandas
    import pyarrow as pa

_ALL = "SELECT * EXCLUDE (part, image) FROM rows"


def read(out: str | os.PathLike[str], *, static: Static = "repeat") -> Table:
    """The output of a run as a lazy table. Raises UsageError if it does not exist.

    `static` "repeat": static images have the masks of the images that they repeat and the status
    "ok", and `repeats` tells them apart; "ignore": the rows as they are stored.
    """
    path = Path(out)
    part_paths(path)
    return Table(path, static=static)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of an output, or of a query over them, which are read on demand.

    Each `to_...`, and each iteration, reads the parts that exist at that time.
    """

    out: Path
    query: str = _ALL
    static: Static = "repeat"

    def images(self) -> Table:
        """One row per image, including failed ones, without the columns of masks."""
        return replace(self, query="SELECT * FROM images")

    def masks(self, min_score: float | Literal["default"] | None = None) -> Table:
        """One row per mask, of all images, with at least this score; None: all that were kept.

        "default": those that viz, stats and report show, by the model's default scores.
        """
        if min_score is None or min_score == "default":
            table = "masks" if min_score is None else "shown"
            return replace(self, query=f"SELECT * FROM {table}")
        return replace(self, query=f"SELECT * FROM masks WHERE score >= {float(min_score)!r}")

    def sql(self, query: str) -> Table:
        """The result of a DuckDB `query`; an invalid query raises UsageError when it is run.

        Its tables are `images`, `masks`, `shown` (the masks that viz, stats and report show, by
        the model's default score) and `rows` (everything).
        """
        return replace(self, query=query)

    @property
    def settings(self) -> dict[str, Any]:
        """What the run recorded: model, options, versions."""
        return read_settings(self.out)

    @property
    def columns(self) -> list[str]:
        with asked(self.query), self._rows() as rows:
            return rows.names(self.query)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows as dictionaries, some thousands in memory at a time."""
        with asked(self.query), self._rows() as rows:
            yield from rows.stream(self.query)

    def to_arrow(self) -> pa.Table:
        with asked(self.query), self._rows() as rows:
            return rows.arrow(self.query)

    def to_pandas(self) -> pandas.DataFrame:
        """Raises UsageError where pandas is not installed."""
        try:
            frame: pandas.DataFrame = self.to_arrow().to_pandas()
        except ImportError:
            raise UsageError("to_pandas needs pandas: pip install pandas") from None
        return frame

    def _rows(self) -> Rows:
        rows = Rows(part_paths(self.out), static=self.static)
        try:
            masks = _quoted(["part", "image"])
            images = _quoted(["part", "image", *(n for n in MASK_COLUMNS if n in rows.columns)])
            rows.execute(
                f"CREATE VIEW masks AS SELECT * EXCLUDE ({masks}) FROM rows WHERE mask IS NOT NULL"
            )
            shown = min_scores(self.settings, None).condition()
            rows.execute(f"CREATE VIEW shown AS SELECT * FROM masks WHERE {shown}")
            rows.execute(
                f"CREATE VIEW images AS SELECT * EXCLUDE ({images}) FROM rows "
                f"WHERE mask IS NULL OR mask = 0"
            )
        except BaseException:
            rows.close()
            raise
        return rows


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
