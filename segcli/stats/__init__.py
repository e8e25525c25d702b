"""Statistics of an output: per class, per group and of the run, and comparison of two outputs."""

from segcli.stats.alert import Rule, alerts, parse
from segcli.stats.drift import Drift, compare
from segcli.stats.show import as_csv, as_json, as_markdown, table_of
from segcli.stats.statistics import Statistics, StatsOptions, statistics

__all__ = [
    "Drift",
    "Rule",
    "Statistics",
    "StatsOptions",
    "alerts",
    "as_csv",
    "as_json",
    "as_markdown",
    "compare",
    "parse",
    "statistics",
    "table_of",
]
