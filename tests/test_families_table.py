"""The table of evidence in docs/methods.md is that of the tests and the code."""

import re

from scripts.benchmarks.families import QUICK
from scripts.figures import families_table as table

ROWS = [
    row for row in table.PAGE.read_text().splitlines() if re.match(r"\| `\w+` \| (\d|none)", row)
]
NOW = table.evidence()


def columns(row: str) -> list[str]:
    return [column.strip() for column in row.strip("|").split("|")]


def test_the_table_is_current() -> None:
    wanted = [columns(row) for row in table.rows(NOW)[2:]]
    found = [columns(row) for row in ROWS]
    refresh = "run python -m scripts.figures.families_table"
    assert [row[:4] for row in found] == [row[:4] for row in wanted], refresh
    for row, one in zip(found, NOW, strict=True):
        assert abs(int(row[5]) - one.lines) < 0.2 * one.lines, f"{one.name}: {refresh}"


def test_every_family_overfits_and_is_compared() -> None:
    assert len(NOW) > 10
    for one in NOW:
        assert one.overfits, one.name
        assert one.parity or one.name == "pep", one.name  # pep's paper has no public code


def test_the_benchmark_measures_every_family() -> None:
    assert {name.partition("/")[0] for name in QUICK} == {one.name for one in NOW}
