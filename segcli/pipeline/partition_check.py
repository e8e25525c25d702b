"""Checks that the names of a new output state what its partitions are by."""

from __future__ import annotations

from itertools import islice

from segcli.errors import UsageError
from segcli.partitions import Partitions
from segcli.pipeline.options import PredictOptions
from segcli.sources import Source
from segcli.store import peek
from segcli.time_patterns import recognised, states_date

_SAMPLE = 50  # names in which another pattern is looked for


def check_partitions(options: PredictOptions, source: Source) -> list[str]:
    """Raises UsageError if no image has a date, or a camera by the pattern, so that a wrong pattern
    does not end in an output with a single partition; a note instead for a shard, because the
    images of others may have one.

    Reads keys until one states it. Only the first run of an output does this: later ones have the
    same partitions, and there may be days with odd names.
    """
    partitions = options.partitions
    if partitions is None or peek(options.out) is not None:
        return []
    unstated = partitions.unstated(sample.key for sample in source)
    if unstated is None:
        return []
    keys = [sample.key for sample in islice(source, _SAMPLE)]
    if not keys:  # a shard may have none
        return []
    wrong = _explained(partitions, unstated, keys)
    if options.shard is None:
        raise UsageError(f"`partition_by` {','.join(partitions.by)}: {wrong}")
    return [f"partitions by {unstated}: {wrong}"]


def _explained(partitions: Partitions, unstated: str, keys: list[str]) -> str:
    pattern = partitions.pattern
    by_pattern = pattern is not None and (unstated == "camera" or states_date(pattern))
    how = f"by `time_pattern` {pattern!r}, " if by_pattern else ""
    wrong = f"{how}no name in the source states a {unstated}, such as {keys[0]!r}"
    found = recognised(keys, clock=False)
    if unstated == "date" and found is not None and states_date(found):
        return f"{wrong}; `time_pattern={found!r}` fits"
    other = "a pattern that fits" if by_pattern else "a `time_pattern` that states it"
    return f"{wrong}; give {other}, or do not partition by {unstated}"
