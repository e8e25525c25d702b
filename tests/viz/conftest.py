"""A small archive of painted pictures with its masks, as predict would have written them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segcli.masks import rle
from segcli.store import Settings, open_output
from segcli.store.image_masks import Mask
from segcli.types import Record, Sample, Segment
from segcli.viz import ShownMask

CATEGORIES = (("person", "car", "bus"), (1, 3, 6))
H, W = 120, 160


class Painted:
    """Shapes and pictures of H x W px."""

    @staticmethod
    def disc(y: int, x: int, r: int, size: tuple[int, int] = (120, 160)) -> NDArray[np.bool_]:
        rows, columns = np.ogrid[: size[0], : size[1]]
        return (rows - y) ** 2 + (columns - x) ** 2 <= r * r

    @staticmethod
    def block(
        y: int, x: int, h: int, w: int, size: tuple[int, int] = (120, 160)
    ) -> NDArray[np.bool_]:
        mask = np.zeros(size, bool)
        mask[y : y + h, x : x + w] = True
        return mask

    @staticmethod
    def background(size: tuple[int, int] = (120, 160)) -> NDArray[np.uint8]:
        """A slope from dark to light, uint8 (h, w, 3)."""
        down, right = np.meshgrid(np.arange(size[0]), np.arange(size[1]), indexing="ij")
        return np.stack([down, right, (down + right) // 2], axis=-1).clip(0, 255).astype(np.uint8)

    @staticmethod
    def mask(
        mask: NDArray[np.bool_],
        category: int = 3,
        name: str = "car",
        score: float | None = 0.75,
    ) -> Mask:
        counts = rle.encode(mask)
        box, area = rle.to_box(counts, *mask.shape), int(mask.sum())
        return Mask(category, name, score, box, area, counts)

    @staticmethod
    def shown(mask: NDArray[np.bool_], *given: Any, verdict: Any = None, **more: Any) -> ShownMask:
        return ShownMask(Painted.mask(mask, *given, **more), verdict)

    @staticmethod
    def scene() -> list[ShownMask]:
        """Three objects, one over another, one without a score."""
        return [
            Painted.shown(Painted.disc(50, 40, 25), 1, "person", 0.93),
            Painted.shown(Painted.block(60, 80, 40, 70), 3, "car", 0.61),
            Painted.shown(Painted.disc(80, 115, 10), 6, "bus", None),
        ]


@pytest.fixture(scope="session")
def painted() -> type[Painted]:
    return Painted


def segment(label: int, score: float, mask: NDArray[np.bool_]) -> Segment:
    counts = rle.encode(mask)
    return Segment(label, score, rle.to_box(counts, *mask.shape), int(mask.sum()), counts)


def record(key: str, segments: Sequence[Segment], root: Path, **more: Any) -> Record:
    sample = Sample(key, str(root / key), size_bytes=10, mtime_ns=5, **more)
    return Record(sample, H, W, segments)


def write_shard(path: Path, records: Sequence[Record], root: Path, prefix: str = "") -> Path:
    settings = Settings({"source_root": str(root)}, {"default_score": 0.5}, prefix)
    with open_output(path, settings, carried={}, categories=CATEGORIES) as output:
        output.commit(records[: len(records) // 2 + 1])
        if records[len(records) // 2 + 1 :]:
            output.commit(records[len(records) // 2 + 1 :])
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Callable[[], tuple[Path, Path]]:
    """(masks, images): two.png with a person 0.9 and a car 0.6 (and one of 0.3), sub/one.png with
    a car 0.8, none.png with nothing, broken.png that failed."""

    def made() -> tuple[Path, Path]:
        root = (tmp_path / "images").resolve()
        for key in ("two.png", "sub/one.png", "none.png"):
            (root / key).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(Painted.background()).save(root / key)
        two = [
            segment(0, 0.9, Painted.disc(50, 40, 25)),
            segment(1, 0.6, Painted.block(60, 80, 40, 70)),
            segment(1, 0.3, Painted.block(5, 120, 10, 20)),
        ]
        records = [
            record("two.png", two, root),
            record("sub/one.png", [segment(1, 0.8, Painted.disc(60, 80, 30))], root),
            record("none.png", [], root),
            Record(Sample("broken.png", str(root / "broken.png")), None, None, (), "truncated"),
        ]
        return write_shard(tmp_path / "masks.parquet", records, root), root

    return made


@pytest.fixture
def make_record() -> Callable[..., Record]:
    """A record with one person in the middle."""

    def made(key: str, root: Path, **more: Any) -> Record:
        return record(key, [segment(0, 0.9, Painted.disc(60, 80, 30))], root, **more)

    return made


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def written(records: Sequence[Record], root: Path, name: str = "video.parquet") -> Path:
        return write_shard(tmp_path / name, records, root)

    return written
