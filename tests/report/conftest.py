"""A small output with names that would run as HTML, and a browser to look at its report."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segcli.masks import rle
from segcli.report import ReportOptions, Written, write_report
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

BAD_FILE = "<script>alert(1)</script>.jpg"
BAD_NAME = '"><img src=x onerror=alert(2)>'
CATEGORIES = (("person", "car", BAD_NAME), (1, 3, 6))
LONG_KEY = "/".join(["very-long-name-of-a-folder"] * 150)
SIZE = (120, 160)


def square(y: int, x: int, side: int = 40) -> bytes:
    mask = np.zeros(SIZE, bool)
    mask[y : y + side, x : x + side] = True
    return rle.encode(mask)


def segment(label: int, score: float, y: int, x: int) -> Segment:
    return Segment(label, score, (float(x), float(y), 40.0, 40.0), 1600, square(y, x))


SEGMENTS = {
    "both.png": [segment(0, 0.9, 10, 10), segment(1, 0.6, 60, 100)],
    BAD_FILE: [segment(2, 0.8, 30, 60)],
    "car.png": [segment(1, 0.7, 40, 40), segment(1, 0.3, 5, 110)],
    "none.png": [],
}


def archive(folder: Path, **recorded: Any) -> Path:
    """The output; its images lie beside it."""
    root = folder / "images"
    records = []
    for number, (key, segments) in enumerate(SEGMENTS.items()):
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = np.full((*SIZE, 3), 60 + 30 * number, np.uint8)
        Image.fromarray(shade).save(path, format="PNG")
        sample = Sample(key, str(path), size_bytes=1, mtime_ns=number * 10**9)
        records.append(Record(sample, *SIZE, segments))
    failed = Sample(LONG_KEY, "", size_bytes=1, mtime_ns=1)
    records.append(Record(failed, None, None, (), f"<b>truncated</b> {BAD_NAME}"))
    settings = Settings(
        {"source_root": str(root), "family": "toy", "variant": "tiny"},
        {
            "default_score": 0.5,
            "started": datetime.now(UTC).isoformat(),
            "command": ["segcli", "predict", "<i>images</i>"],
            **recorded,
        },
    )
    path = folder / "masks.parquet"
    with open_output(path, settings, carried={}, categories=CATEGORIES) as output:
        output.commit(records)
    return path


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return archive(tmp_path)


@pytest.fixture
def masks_by_class(tmp_path: Path) -> Path:
    """The same from a model whose person and car have scores of their own."""
    return archive(tmp_path, default_scores={"person": 0.95, "car": 0.65})


@pytest.fixture(scope="session")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    options = ReportOptions(masks=archive(folder), out=folder / "report.html")
    write_report(options, report=lambda sentence: None)
    return options.out


@pytest.fixture
def write(masks: Path, tmp_path: Path) -> Callable[..., tuple[Written, str]]:
    """Writes report.html; gives what was done and the text of the page."""

    def written(**options: Any) -> tuple[Written, str]:
        out = tmp_path / "report.html"
        done = write_report(
            ReportOptions(masks=masks, out=out, **options), report=lambda sentence: None
        )
        return done, out.read_text()

    return written
