"""Find the objects in frames of a clip with the default model: `segcli predict` and plain loops.

`segcli` is a run without worker processes, from the file to the committed part; `cv2 loop` reads
every frame with OpenCV's VideoCapture and gives each chosen one to the same model, as programs
commonly do, and `pyav loop` does so with PyAV. `decoding` is what segcli takes for the frames
alone. In seconds of processor time per chosen frame, without loading the model. `cores for the
model` is how many cores the model may use before one core of decoding holds it up.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

import segcli
from scripts.benchmarks.video import FRAMES, by_segcli, processor_seconds, write_clip
from segcli.api import Model
from segcli.video.every import parse_every
from segcli.video.timeline import read_timeline

ROUNDS = 3
SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}
EVERY = ("10f", "1s")


def main() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    model = segcli.load(precision="float32", device="cpu")
    with tempfile.TemporaryDirectory() as name:
        for size, pixels in SIZES.items():
            clip = write_clip(Path(name, f"{size}.mp4"), pixels)
            for every in EVERY:
                wanted = list(parse_every(every).choose(read_timeline(str(clip))))
                ways: dict[str, Callable[[], float]] = {
                    "segcli": partial(by_run, clip, every, len(wanted), Path(name, "out")),
                    "pyav loop": partial(by_loop, pyav_frames, clip, wanted, model),
                    "decoding": partial(by_decoding, clip, wanted),
                }
                if importlib.util.find_spec("cv2"):
                    ways["cv2 loop"] = partial(by_loop, cv2_frames, clip, wanted, model)
                seconds: dict[str, list[float]] = {way: [] for way in ways}
                for _ in range(ROUNDS):
                    for way, work in ways.items():
                        seconds[way].append(work())
                found = {way: median(times) for way, times in seconds.items()}
                figures |= {f"{size} {every} {way}": round(s, 4) for way, s in found.items()}
                cores = (found["segcli"] - found["decoding"]) / found["decoding"]
                figures[f"{size} {every} cores for the model"] = round(cores, 1)
    return figures


def by_run(clip: Path, every: str, frames: int, out: Path) -> float:
    """A whole run, less one over a single frame, which loads the model too."""
    whole, one = (measured(partial(predict, clip, every, limit, out)) for limit in (frames, 1))
    return (whole - one) / (frames - 1)


def predict(clip: Path, every: str, limit: int, out: Path) -> None:
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        segcli.predict(
            clip,
            out=Path(folder, "m.parquet"),
            every=every,
            limit=limit,
            precision="float32",
            device="cpu",
            replicas=0,
        )


def by_decoding(clip: Path, wanted: Sequence[int]) -> float:
    return measured(partial(by_segcli, clip, wanted)) / len(wanted)


def by_loop(
    frames: Callable[[Path], Iterator[Callable[[], NDArray[np.uint8]]]],
    clip: Path,
    wanted: Sequence[int],
    model: Model,
) -> float:
    chosen = set(wanted)

    def work() -> None:
        for index, pixels in enumerate(frames(clip)):
            if index in chosen:
                model(pixels())

    return measured(work) / len(wanted)


def cv2_frames(clip: Path) -> Iterator[Callable[[], NDArray[np.uint8]]]:
    import cv2

    capture = cv2.VideoCapture(str(clip))
    while True:
        there, pixels = capture.read()
        if not there:
            return
        yield lambda pixels=pixels: cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def pyav_frames(clip: Path) -> Iterator[Callable[[], NDArray[np.uint8]]]:
    with av.open(str(clip)) as file:
        for frame in file.decode(video=0):
            yield partial(frame.to_ndarray, format="rgb24")


def measured(work: Callable[[], None]) -> float:
    begin = processor_seconds()
    work()
    return processor_seconds() - begin


if __name__ == "__main__":
    print(f"{FRAMES} frames, 25 per second")
    for name, value in main().items():
        print(f"{name:<40} {value}")
