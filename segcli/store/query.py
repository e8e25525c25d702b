"""SQL over the rows of an output, with DuckDB, which only this module imports.

An expression of a user is put into a query; errors of DuckDB become UsageErrors. Nothing is
installed or downloaded, and only the parts are read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from segcli.errors import OutputError, UsageError
from segcli.files import replacing, reporting
from segcli.store.copies import on_disk
from segcli.store.repeated import Static, repeated_sql

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Rows", "asked", "literal", "write_parquet"]

_OURS = ("part", "image")
_NO_QUERY = "{!r} is not a query; expected SELECT ..."
_AT_ONCE = 10_000  # lines that are handed over in one go
_CONFIG = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "enable_external_file_cache": "false",
}


class Rows:
    """The rows of an output as a table named `rows`; close it, or use it as a context manager.

    `rows` has the columns of the parts, `part`, the number of the part, and `image`, a number that
    the rows of one image share: they follow one another, so it is where the first of them lies.
    Parts in a bucket are copied into a temporary folder until then. At most `threads` threads and
    `memory` (DuckDB's words: "1GB") are used; beyond that DuckDB writes to `spill`. `static`
    "repeat": static images have the masks of those that they repeat.
    """

    def __init__(
        self,
        parts: Sequence[Path],
        *,
        static: Static = "ignore",
        threads: int | None = None,
        memory: str | None = None,
        spill: Path | None = None,
    ) -> None:
        config: dict[str, str | bool | int | float | list[str]] = dict(_CONFIG)
        if threads is not None:
            config["threads"] = str(threads)
        if memory is not None:
            config["memory_limit"] = memory
        if spill is not None:
            config["temp_directory"] = str(spill)
        self._connection = duckdb.connect(config=config)
        self._connection.execute("SET enable_progress_bar = false")
        self._copies = contextlib.ExitStack()
        try:
            files = self._copies.enter_context(on_disk(parts))
            self._files = [literal(_without_globs(path)) for path in files]
            files_list = ", ".join(self._files)
            with _translated("the parts"):
                self._connection.execute(f"CREATE VIEW stored AS {_stored(files_list)}")
                self._repeats = static == "repeat" and self._has_static()
                rows = repeated_sql("stored", self._columns("stored")) if self._repeats else ""
                self._connection.execute(f"CREATE VIEW rows AS {rows or 'FROM stored'}")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()
        self._copies.close()

    @property
    def parts(self) -> int:
        """How many there are."""
        return len(self._files)

    def part(self, number: int) -> str:
        """What to write after FROM for the rows of one part, in their order in the file."""
        if not self._repeats:
            return _read(self._files[number])
        rows = repeated_sql(f"({_stored(self._files[number])})", self.columns)
        return f"(SELECT * FROM ({rows}) ORDER BY image, mask)"

    def _has_static(self) -> bool:
        if "repeats" not in self._columns("stored"):
            return False
        query = "SELECT 1 FROM stored WHERE status = 'static' LIMIT 1"
        return bool(self._connection.execute(query).fetchall())

    def _columns(self, table: str) -> list[str]:
        found = self._connection.execute(f"DESCRIBE {table}").fetchall()
        return [name for name, *_ in found if name not in _OURS]

    @property
    def types(self) -> dict[str, str]:
        """The columns of the parts, each with DuckDB's name of its type."""
        found = self._connection.execute("DESCRIBE rows").fetchall()
        return {name: kind for name, kind, *_ in found if name not in _OURS}

    @property
    def columns(self) -> list[str]:
        """Names of the columns of the parts."""
        return self._columns("rows")

    def table(self, name: str, columns: Mapping[str, str], lines: Iterable[Sequence[Any]]) -> None:
        """Make a table of our own beside `rows`: `columns` name -> type, `lines` their values."""
        made = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        self._connection.execute(f"CREATE TABLE {name} ({made})")
        values = ", ".join(f"unnest($c{i}::{kind}[])" for i, kind in enumerate(columns.values()))
        waiting = iter(lines)
        while some := list(islice(waiting, _AT_ONCE)):
            lists = {f"c{i}": list(value) for i, value in enumerate(zip(*some, strict=True))}
            self._connection.execute(f"INSERT INTO {name} SELECT {values}", lists)

    def check(self, expression: str, option: str, *, without: Sequence[str] = ()) -> None:
        """Raise UsageError unless `expression` is one condition over the rows, that does not use
        the columns `without` (older outputs do not have all of them)."""
        left_out = ", ".join(name for name in without if name in self.columns)
        table = f"(SELECT * EXCLUDE ({left_out}) FROM rows)" if left_out else "rows"
        try:
            self._connection.execute(
                f"SELECT count(*) FROM {table} WHERE (\n{expression}\n) LIMIT 0"
            )
            asked = self._connection.execute(f"SELECT (\n{expression}\n) FROM {table} LIMIT 0")
            kinds = [str(kind) for _, kind, *_ in asked.description or ()]
            wrong = "" if kinds == ["BOOLEAN"] else f"it is a {kinds[0]}, not true or false"
        except duckdb.Error as error:
            wrong = _first_line(error)
        if wrong:
            example = "height > 720" if without else "category = 'car' and score > 0.5"
            of = "images" if without else "rows"
            raise UsageError(
                f"{option} {expression!r} is not a condition over the {of}: {wrong}; "
                f'write SQL as in "{example}"; the columns are: '
                f"{', '.join(name for name in self.columns if name not in without)}"
            )

    def execute(self, sql: str, values: Mapping[str, Any] | None = None) -> None:
        """Run a statement for its effect (a temporary table)."""
        with _translated(sql):
            self._connection.execute(sql, dict(values or {}))

    def tuples(self, sql: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of the answer."""
        with _translated(sql):
            return self._connection.execute(sql, dict(values or {})).fetchall()

    def dicts(self, sql: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """All rows of the answer, each as name -> value."""
        with _translated(sql):
            answer = self._connection.execute(sql, dict(values or {}))
            names = [column[0] for column in answer.description or []]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    def stream(self, sql: str, values: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """The rows of the answer, some thousands in memory at a time."""
        with _translated(sql):
            cursor = self._connection.cursor()
            answer = cursor.execute(sql, dict(values or {}))
            if answer is None:
                raise UsageError(_NO_QUERY.format(sql))
            names = [column[0] for column in answer.description or []]
            while found := answer.fetchmany(4096):
                for row in found:
                    yield dict(zip(names, row, strict=True))

    def names(self, sql: str, values: Mapping[str, Any] | None = None) -> list[str]:
        """The columns of the answer."""
        with _translated(sql):
            return [str(name) for name in self._relation(sql, values).columns]

    def arrow(self, sql: str, values: Mapping[str, Any] | None = None) -> pa.Table:
        """All rows of the answer."""
        with _translated(sql):
            return self._relation(sql, values).to_arrow_table()

    def _relation(self, sql: str, values: Mapping[str, Any] | None) -> duckdb.DuckDBPyRelation:
        relation = self._connection.sql(sql, params=dict(values or {}))
        if relation is None:
            raise UsageError(_NO_QUERY.format(sql))
        return relation


def _stored(files: str) -> str:
    """A query for the rows of these files as they are stored, numbered."""
    return (
        f"SELECT *, file_index AS part, "
        f"(file_index::BIGINT << 32) + file_row_number - coalesce(mask, 0) AS image "
        f"FROM {_read(files)}"
    )


def _read(files: str) -> str:
    """The files as a table; folders named NAME=VALUE on the way to them are not columns."""
    return f"read_parquet([{files}], hive_partitioning = false)"


def write_parquet(table: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A small table, a mapping per row, as a Parquet file, by a rename. Raises OutputError."""
    with contextlib.closing(duckdb.connect(config=dict(_CONFIG))) as connection:
        connection.execute(
            "CREATE TABLE made AS SELECT unnest(line) FROM (SELECT unnest($lines) AS line)",
            {"lines": [dict(row) for row in table]},
        )
        with reporting(path, errors=(duckdb.IOException,)), replacing(path) as unfinished:
            connection.execute(f"COPY made TO {literal(str(unfinished))} (FORMAT parquet)")


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _without_globs(path: Path) -> str:
    """The path as read_parquet takes it: * ? [ mean themselves."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{str(path)!r} is not valid text, and DuckDB reads no such path; rename the folder"
        ) from None
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path))


@contextlib.contextmanager
def asked(query: str) -> Iterator[None]:
    """Around a query that a user has written as a whole: its errors are UsageErrors."""
    try:
        yield
    except duckdb.Error as error:
        raise UsageError(f"the query {query!r} cannot be answered: {_first_line(error)}") from None


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Translate errors of DuckDB that a user can cause."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise OutputError(f"not enough memory for the query: {_first_line(error)}") from None
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise UsageError(f"the parts cannot be read: {_first_line(error)}") from None
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        raise UsageError(f"a condition does not fit the values: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
