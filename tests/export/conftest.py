"""An output of three images whose masks have holes, several parts, and cover one another."""

from pathlib import Path

import numpy as np
import pytest

from segcli.masks import rle
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

NAMES, IDS = ("person", "red car"), (1, 44)


def drawn() -> dict[str, list[tuple[int, float, np.ndarray]]]:
    """key -> (label, score, mask), best first."""
    ring = np.zeros((30, 40), bool)
    ring[4:20, 5:25] = True
    ring[8:12, 9:14] = False
    pair = np.zeros((30, 40), bool)
    pair[0:3, 0:3] = pair[10:14, 30:40] = True
    rng = np.random.default_rng(7)
    blob = np.zeros((50, 20), bool)
    blob[10:40, 3:17] = rng.random((30, 14)) < 0.7
    return {
        "cam1/a.jpg": [(0, 0.9, ring), (1, 0.6, pair), (0, 0.2, ring | pair)],
        "cam1/b.png": [],
        "cam2/a.jpg": [(1, 0.75, blob)],
    }


@pytest.fixture(scope="session")
def masks() -> dict[str, list[tuple[int, float, np.ndarray]]]:
    return drawn()


@pytest.fixture
def output(tmp_path: Path) -> Path:
    records = []
    for key, found in drawn().items():
        height, width = found[0][2].shape if found else (8, 9)
        segments = []
        for label, score, mask in found:
            text = rle.encode(mask)
            box = rle.to_box(text, height, width)
            segments.append(Segment(label, score, box, int(mask.sum()), text))
        records.append(Record(Sample(key, key), height, width, segments))
    records.append(Record(Sample("cam2/broken.jpg", ""), None, None, (), "truncated"))
    settings = Settings({"source_root": "/archive"}, {"default_score": 0.5})
    path = tmp_path / "masks.parquet"
    with open_output(path, settings, carried={}, categories=(NAMES, IDS)) as opened:
        opened.commit(records[:1])
        opened.commit(records[1:])
    return path
