"""Scenes with known tracks, and how well a tracker does on them: HOTA, IDF1 and switches.

.venv/bin/python -m scripts.studies.tracking
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.studies.track_scores import Frame, Scores, scores
from segcli.masks import rle
from segcli.store import Settings, open_output, read_masks
from segcli.track import Rules, TrackOptions, track
from segcli.types import Record, Sample, Segment

SIZE = (240, 400)  # (h, w) px
FPS = 10
CATEGORIES = (("person", "car"), (1, 3))
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Walker:
    """An ellipse of `size` (h, w) px that is at `at(t)` (x, y of its centre) from `first` to `last`
    s; a smaller `depth` hides a larger one."""

    at: Callable[[float], tuple[float, float]]
    size: tuple[float, float] = (60.0, 24.0)
    first: float = 0.0
    last: float = 12.0
    depth: float = 0.0
    label: int = 0


@dataclass(frozen=True)
class Seen:
    """A detection: the number of the true object, or None for a false one."""

    truth: int | None
    score: float
    mask: NDArray[np.bool_]
    label: int = 0


@dataclass(frozen=True)
class Faults:
    """Of the detector: the share of objects `missed`, the number of `false` ones per frame, the
    jitter of boxes in shares of their sides."""

    missed: float = 0.0
    false: float = 0.0
    jitter: float = 0.0


def line(
    x0: float, y0: float, vx: float, vy: float = 0.0
) -> Callable[[float], tuple[float, float]]:
    return lambda t: (x0 + vx * t, y0 + vy * t)


def _ellipse(centre: tuple[float, float], size: tuple[float, float]) -> NDArray[np.bool_]:
    y, x = np.ogrid[: SIZE[0], : SIZE[1]]
    (cx, cy), (h, w) = centre, size
    inside: NDArray[np.bool_] = ((x - cx) / (w / 2)) ** 2 + ((y - cy) / (h / 2)) ** 2 <= 1
    return inside


def _stopping(t: float) -> tuple[float, float]:
    """Walks, waits for three seconds and goes back."""
    return (60 + 25 * min(t, 4.0) - 35 * max(0.0, t - 7), 130.0)


def _crowd(seed: int = 5, count: int = 10) -> list[Walker]:
    rng = np.random.default_rng(seed)
    walkers = []
    for _ in range(count):
        x, y = rng.uniform(20, SIZE[1] - 20), rng.uniform(60, SIZE[0] - 50)
        vx, vy, wave = rng.uniform(-35, 35), rng.uniform(-8, 8), rng.uniform(0, 12)

        def at(t: float, x=x, y=y, vx=vx, vy=vy, wave=wave) -> tuple[float, float]:  # type: ignore[no-untyped-def]
            across = (x + vx * t) % (2 * SIZE[1])
            return (min(across, 2 * SIZE[1] - across), y + vy * np.sin(t) + wave * np.cos(t))

        walkers.append(Walker(at, depth=-y))
    return walkers


POST = Walker(line(200, 120, 0), size=(240, 40), depth=-1e9, label=-1)  # hides, and is not detected

SCENES: Mapping[str, Sequence[Walker]] = {
    "crossing": [
        Walker(line(40, 120, 28)),
        Walker(line(360, 126, -28), depth=-1),
        Walker(line(60, 60, 20, 6), depth=1),
    ],
    "behind a post": [POST, Walker(line(40, 110, 30)), Walker(line(380, 150, -32), depth=-1)],
    "stop and return": [Walker(_stopping), Walker(line(380, 150, -25), depth=-1)],
    "cars": [
        Walker(line(-30 + 0, 80, 120), size=(36, 70), last=3.6, label=1),
        Walker(line(430, 160, -150), size=(40, 80), first=0.5, last=3.1, label=1),
        Walker(lambda t: (-40 + 140 * (t - 4), 80), size=(36, 70), first=4, last=7.2, label=1),
        Walker(lambda t: (440 - 100 * (t - 5), 165), size=(40, 80), first=5, last=9.6, label=1),
    ],
    "crowd": _crowd(),
}


def detections(
    walkers: Sequence[Walker], faults: Faults, *, stride: int = 1, seed: int = 0, until: float = 12
) -> Iterator[tuple[int, list[tuple[int, NDArray[np.bool_]]], list[Seen]]]:
    """(frame, true objects with their visible masks, detections) of every `stride`-th frame.

    An object hidden by more than 3/4 is not there; one that is hidden in part has a low score.
    """
    rng = np.random.default_rng(seed)
    for frame in range(0, round(until * FPS), stride):
        time = frame / FPS
        truth, seen = [], []
        hidden = np.zeros(SIZE, bool)
        for number, walker in sorted(enumerate(walkers), key=lambda pair: pair[1].depth):
            if not walker.first <= time <= walker.last:
                continue
            whole = _ellipse(walker.at(time), walker.size)
            visible = whole & ~hidden
            hidden |= whole
            full = np.pi / 4 * walker.size[0] * walker.size[1]
            share = visible.sum() / full
            if share < 0.25 or walker.label < 0:
                continue
            truth.append((number, visible))
            if rng.random() >= faults.missed:
                found = _jittered(visible, rng, faults.jitter)
                score = float(np.clip(0.35 + 0.6 * share + rng.normal(0, 0.05), 0.05, 0.99))
                seen.append(Seen(number, score, found, walker.label))
        for _ in range(rng.poisson(faults.false)):
            spot = (rng.uniform(0, SIZE[1]), rng.uniform(0, SIZE[0]))
            seen.append(Seen(None, float(rng.uniform(0.1, 0.8)), _ellipse(spot, (40, 20))))
        yield frame, truth, [one for one in seen if one.mask.any()]


def _jittered(
    mask: NDArray[np.bool_], rng: np.random.Generator, jitter: float
) -> NDArray[np.bool_]:
    """The mask moved by a share of its sides."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    down, right = rng.normal(0, jitter, 2) * (len(rows), len(columns))
    moved = rle.moved(rle.encode(mask), SIZE, right, down)
    return rle.decode(moved, *SIZE)


def records(frames: Sequence[tuple[int, list[Seen]]], clip: str) -> list[Record]:
    """Rows of one clip, its frames FPS per second."""
    made = []
    for frame, seen in frames:
        segments = [
            Segment(one.label, one.score, rle.to_box(text, *SIZE), int(one.mask.sum()), text)
            for one in seen
            for text in [rle.encode(one.mask)]
        ]
        segments.sort(key=lambda segment: -segment.score)
        sample = Sample(f"{clip}#frame={frame}", clip, None, 1, 1, frame=frame, time_s=frame / FPS)
        made.append(Record(sample, *SIZE, segments))
    return made


def write(path: Path, *parts: Sequence[Record]) -> None:
    """Add parts to an output; the default score of its model is 0.5."""
    settings = Settings({"source_root": "/scene", "default_score": 0.5}, {})
    with open_output(path, settings, carried={}, categories=CATEGORIES) as output:
        for part in parts:
            output.commit(part)


def read_tracks(path: Path) -> dict[str, list[tuple[int, bytes]]]:
    """Key -> (track, RLE) of the masks that are in a track."""
    found: dict[str, list[tuple[int, bytes]]] = {}
    for batch in read_masks(path, columns=["key", "track_id", "rle"]):
        for row in batch.to_pylist():
            if row["track_id"] is not None:
                found.setdefault(row["key"], []).append((row["track_id"], row["rle"]))
    return found


def measured(
    walkers: Sequence[Walker], faults: Faults, *, stride: int = 1, seed: int = 0,
    rules: Rules | None = None,
) -> Scores:  # fmt: skip
    """The scores of `segcli track` on a scene."""
    frames = list(detections(walkers, faults, stride=stride, seed=seed))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "masks.parquet"
        write(path, records([(frame, seen) for frame, _, seen in frames], "scene.mp4"))
        track(TrackOptions(masks=path, rules=rules or Rules()), report=lambda _: None)
        found = read_tracks(path)
    return scores([_frame(truth, found.get(f"scene.mp4#frame={n}", [])) for n, truth, _ in frames])


def _frame(
    truth: Sequence[tuple[int, NDArray[np.bool_]]], found: Sequence[tuple[int, bytes]]
) -> Frame:
    texts = [rle.encode(mask) for _, mask in truth]
    return (
        [number for number, _ in truth],
        [number for number, _ in found],
        rle.ious(texts, [text for _, text in found], SIZE).reshape(len(truth), len(found)),
    )


def main() -> None:
    faults = Faults(missed=0.1, false=0.3, jitter=0.04)
    print("| scene | every n-th frame | HOTA | IDF1 | switches | tracks / objects |")
    print("|---|---|---|---|---|---|")
    for name, walkers in SCENES.items():
        for stride in (1, 2, 3, 5):
            all_ = [measured(walkers, replace(faults), stride=stride, seed=s) for s in range(3)]
            print(
                f"| {name} | {stride} | {np.mean([s.hota for s in all_]):.3f} "
                f"| {np.mean([s.idf1 for s in all_]):.3f} "
                f"| {np.mean([s.switches for s in all_]):.1f} "
                f"| {np.mean([s.tracks for s in all_]):.1f} / {all_[0].objects} |"
            )


if __name__ == "__main__":
    main()
