"""Readers of annotations on files drawn in the dialects of other tools, a few of each kind.

`scripts/soak --formats` runs the same checks for minutes.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from format_checks import CHECKS, run  # noqa: E402

sys.path.pop(0)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools
@pytest.mark.parametrize("name", CHECKS)
def test_what_is_read_is_what_the_file_means(name: str) -> None:
    run(name, examples=15)
