"""The library speaks of arguments, the command line of options."""

from pathlib import Path

import pytest

from segcli.cli.wording import worded
from segcli.errors import UsageError
from segcli.pipeline import PredictOptions


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("`where_image` 'x' is wrong", "--where-image 'x' is wrong"),
        ("`min_score` 2: expected a number", "--min-score 2: expected a number"),
        ("wait for it with `wait=True`", "wait for it with --wait"),
        ("`engine='ray'` needs Ray", "--engine ray needs Ray"),
        ("give `replicas=1` or more", "give --replicas 1 or more"),
        ("`replicas=N` makes N workers", "--replicas N makes N workers"),
        ('`out="it\'s new.parquet"`', "--out 'it'\"'\"'s new.parquet'"),
        ("start one with `ray start --head`", "start one with `ray start --head`"),
        ("column `warning`", "column `warning`"),
        ("run `segcli train` with `model='a/b'`", "run `segcli train` with --model a/b"),
        ("insist with `from_scratch=True`", "insist with --from-scratch"),
        ("use `precision` bfloat16 or float32", "use --precision bfloat16 or float32"),
    ],
)
def test_arguments_become_options(message: str, expected: str) -> None:
    assert worded(message) == expected


def test_a_library_user_reads_the_name_of_the_argument() -> None:
    with pytest.raises(UsageError, match=r"^`chunk_size` 0: expected a whole number of at least 1"):
        PredictOptions(source="x", out=Path("y"), chunk_size=0)
