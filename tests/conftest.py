"""Fixtures shared by all tests: where recordings and real images lie."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def reference() -> Path:
    """The recordings of the authors' own implementations; the trimmed copies where they are not."""
    full = Path(os.environ.get("SEGCLI_REFERENCE", ROOT / "../shared/reference"))
    return full if full.is_dir() else ROOT / "tests/golden"


@pytest.fixture(scope="session")
def data() -> Path:
    """Real images with ground truth; tests that need them are skipped where they are absent."""
    folder = Path(os.environ.get("SEGCLI_DATA", ROOT / "../shared/data"))
    if not folder.is_dir():
        pytest.skip("no real data: set SEGCLI_DATA")
    return folder
