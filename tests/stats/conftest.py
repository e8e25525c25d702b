"""A small output with every kind of row, and the same rows as a plain pandas table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

CATEGORIES = (("person", "car", "bus"), (1, 3, 6))
START = 1_795_000_000  # s: 2026-11-18 11:06:40 UTC


def records(seed: int, images: int, score: float) -> list[Record]:
    """`score` shifts the scores of the cars."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(images):
        sample = Sample(
            f"cam{number % 2}/cam{number % 2}_20261118-{number % 24:02d}{number // 24:02d}00.jpg",
            "",
            size_bytes=9,
            mtime_ns=(START + 1800 * number) * 10**9,
            carried={"site": ["north", "south", None][number % 3]},
        )
        if number % 10 == 7:
            reason = f"truncated image: {number} bytes missing"
            made.append(Record(sample, None, None, (), reason))
            continue
        height, width = (480, 640) if number % 4 else (1080, 1920)
        segments = []
        for _ in range(int(rng.integers(0, 6))):
            label = int(rng.integers(0, 3))
            w, h = rng.uniform(5, width / 2), rng.uniform(5, height / 2)
            x, y = rng.choice([0.0, 10.5]), rng.uniform(0, height - h)
            value = float(rng.uniform(0.05, 1) ** (score if label == 1 else 1))
            area = int(w * h * 0.7) + 1
            segments.append(
                Segment(label, value, (float(x), float(y), float(w), float(h)), area, b"x")
            )
        segments.sort(key=lambda s: -s.score)
        made.append(Record(sample, height, width, segments))
    return made


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "masks", seed: int = 0, images: int = 60, score: float = 1.0) -> Path:
        import pyarrow as pa

        settings = Settings({"source_root": "/archive"}, {"default_score": 0.4})
        path = tmp_path / f"{name}.parquet"
        with open_output(
            path, settings, carried={"site": pa.string()}, categories=CATEGORIES
        ) as output:
            found = records(seed, images, score)
            output.commit(found[: images // 2])
            output.commit(found[images // 2 :])
        return path

    return write


@pytest.fixture
def masks(made: Callable[..., Path]) -> Path:
    return made()


@pytest.fixture
def frame(masks: Path) -> Any:
    """All rows as a frame of pandas, with the sides of the box as columns."""
    import pandas as pd  # takes a second, which collecting the tests has not

    rows = pd.read_parquet(masks)
    for side in "xywh":
        rows[side] = [None if box is None else box[side] for box in rows["bbox"]]
    return rows.astype({side: float for side in "xywh"})
