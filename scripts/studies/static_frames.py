"""How many frames --skip-static skips, which objects are missed, and what a frame costs.

    segcli predict FOOTAGE --out all.parquet --every 5f
    python -m scripts.studies.static_frames FOOTAGE all.parquet

The output has the masks of all frames; this repeats the comparison on them with several thresholds.
An object of a skipped frame is missed if the frame that is repeated has no object of its class that
it overlaps by an IoU of 0.5, and extra the other way round. Then it makes clips of known events.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from segcli.images.look import Look, differ, look_at
from segcli.keys import split_frame
from segcli.store import MinScores, min_scores, read_settings
from segcli.store.image_masks import ImageMasks, Mask, read_image_masks
from segcli.video.frames import read_frames

THRESHOLDS = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
SIZE, RATE, SECONDS = (360, 640), 10, 30
Picture = NDArray[np.float64]


def main(footage: Path, out: Path) -> None:
    default = min_scores(read_settings(out), None)
    images = read_image_masks(out, min_score=MinScores(0.3))
    for clip, frames in by_clip(images):
        looks, decode_ms, look_ms = looked_at(footage / clip, frames)
        print(f"{clip}: {len(frames)} frames")
        print(f"  {decode_ms:.1f} ms to decode one, {look_ms:.1f} ms to look at and compare it")
        for threshold in THRESHOLDS:
            pairs = list(skipped(looks, threshold))
            counts = []
            for least in (default, MinScores(0.3)):
                missed = sum(lacking(frames[i], frames[j], least) for i, j in pairs)
                extra = sum(lacking(frames[j], frames[i], least) for i, j in pairs)
                counts.append(f"missed {missed} extra {extra} of {total(frames, least)}")
            share = len(pairs) / len(frames)
            print(f"  {threshold:4.0f}  {share:5.1%}  {default}: {counts[0]}  0.3: {counts[1]}")
    with tempfile.TemporaryDirectory() as folder:
        for name, event in EVENTS.items():
            print(f"{name:<34} {' '.join(outcome(Path(folder) / 'clip.mp4', event))}")


def by_clip(images: Iterable[ImageMasks]) -> Iterator[tuple[str, list[ImageMasks]]]:
    """The frames of each clip in their order, whatever parts they are in."""
    ordered = sorted(images, key=lambda image: (split_frame(image.key)[0], image.frame or 0))
    for clip, group in groupby(ordered, key=lambda image: split_frame(image.key)[0]):
        yield clip, list(group)


def looked_at(path: Path, frames: list[ImageMasks]) -> tuple[list[Look], float, float]:
    looks, seconds, began = [], 0.0, time.perf_counter()
    for frame in read_frames(str(path), [image.frame or 0 for image in frames]):
        assert frame.pixels is not None
        before = time.perf_counter()
        looks.append(look_at(frame.pixels))
        differ(looks[0], looks[-1])
        seconds += time.perf_counter() - before
    rest = time.perf_counter() - began - seconds
    return looks, 1000 * rest / len(looks), 1000 * seconds / len(looks)


def skipped(looks: list[Look], threshold: float) -> Iterator[tuple[int, int]]:
    """(static frame, the frame that it repeats)."""
    last = 0
    for i in range(1, len(looks)):
        if differ(looks[last], looks[i], threshold=threshold):
            last = i
        else:
            yield i, last


def total(frames: list[ImageMasks], least: MinScores) -> int:
    return sum(len(shown(image, least)) for image in frames)


def shown(image: ImageMasks, least: MinScores) -> list[Mask]:
    return [mask for mask in image.masks if (mask.score or 0) >= least.of(mask.category)]


def lacking(image: ImageMasks, other: ImageMasks, least: MinScores) -> int:
    """How many objects of `image` have no counterpart in `other`."""
    left, missing = shown(other, least), 0
    for mask in shown(image, least):
        alike = [o for o in left if o.category == mask.category and iou(mask, o) >= 0.5]
        if alike:
            left.remove(max(alike, key=lambda o: iou(mask, o)))
        else:
            missing += 1
    return missing


def iou(one: Mask, other: Mask) -> float:
    """Of the boxes."""
    (x, y, w, h), (x2, y2, w2, h2) = one.box, other.box
    wide, high = min(x + w, x2 + w2) - max(x, x2), min(y + h, y2 + h2) - max(y, y2)
    shared = max(0.0, wide) * max(0.0, high)
    return shared / (w * h + w2 * h2 - shared)


def scene() -> Picture:
    rng = np.random.default_rng(3)
    blocks = np.kron(rng.uniform(-40, 40, (9, 16)), np.ones((40, 40)))
    return np.asarray(115 + blocks + rng.normal(0, 5, SIZE))


def walker(side: tuple[int, int], speed: float, grey: float) -> Callable[[Picture, float], Picture]:
    """An object of (height, width) px that comes in from the left from the tenth second on."""

    def event(picture: Picture, second: float) -> Picture:
        right = int(speed * (second - 10))
        picture[200 : 200 + side[0], max(0, right - side[1]) : max(0, right)] += grey
        return picture

    return event


def changed(change: Callable[[Picture], Picture]) -> Callable[[Picture, float], Picture]:
    return lambda picture, second: change(picture) if second >= 10 else picture


EVENTS: dict[str, Callable[[Picture, float], Picture]] = {
    "nothing happens": lambda picture, second: picture,
    "slow exposure drift, 20 %": lambda picture, second: picture * (1 - 0.2 * second / SECONDS),
    "exposure step, 20 %": changed(lambda picture: picture * 0.8),
    "person of 80 x 30 px walks in": walker((80, 30), 40, -50),
    "person of 24 x 10 px walks in": walker((24, 10), 15, -50),
    "person of 24 x 10 px, low contrast": walker((24, 10), 15, -20),
    "dot of 6 x 6 px": walker((6, 6), 10, -60),
    "car creeps in, 2 px a second": walker((40, 100), 2, 45),
    "light is switched off": changed(lambda picture: picture * 0.35),
    "camera moves by 8 px": changed(lambda picture: np.roll(picture, 8, 1)),
    "camera is covered": changed(lambda picture: 0 * picture + 50),
    "fog comes over 20 seconds": lambda picture, second: (
        picture + (115 - picture) * min(0.7, 0.7 * max(0.0, second - 10) / 20)
    ),
}


def outcome(path: Path, event: Callable[[Picture, float], Picture]) -> Iterator[str]:
    """For two qualities of H.264 and noise: the share that is skipped before the event, the delay
    of the first processed frame afterwards, and the share that is skipped then."""
    for crf, noise in ((23, 3.0), (35, 8.0)):
        rng = np.random.default_rng(5)
        with av.open(str(path), "w") as file:
            stream = file.add_stream("libx264", rate=RATE, options={"crf": str(crf)})
            stream.height, stream.width = SIZE
            stream.pix_fmt, stream.gop_size = "yuv420p", 5 * RATE
            for i in range(RATE * SECONDS):
                grey = event(scene(), i / RATE) + rng.normal(0, noise, SIZE)
                pixels = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, RATE)
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
        looks = []
        for shown_frame in read_frames(str(path), range(RATE * SECONDS)):
            assert shown_frame.pixels is not None
            looks.append(look_at(shown_frame.pixels))
        static = {i for i, _ in skipped(looks, 4.0)}
        before, after = range(10 * RATE), range(10 * RATE, SECONDS * RATE)
        first = next((i for i in after if i not in static), None)
        delay = "never" if first is None else f"{(first - 10 * RATE) / RATE:.1f} s"
        shares = [sum(i in static for i in part) / len(part) for part in (before, after)]
        yield f"[{shares[0]:4.0%} {delay:>6} {shares[1]:4.0%}]"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
