"""Decode a clip of 1280 x 720 px (H.264, 300 frames, 25 per second) for different `--every`.

`segcli` are the clip's frames per second of processor time as the pipeline reads them, with the
chosen frames as RGB; `pyav` is a plain loop that decodes every frame and makes the same ones RGB;
`ffmpeg` is `ffmpeg -f null` (only decoding) and `cv2` OpenCV's loop, where they are installed. One
decoding thread each; the ways take turns.
"""

from __future__ import annotations

import importlib.util
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from segcli.pipeline.malloc import keep_memory
from segcli.video.every import parse_every
from segcli.video.frames import read_frames
from segcli.video.timeline import read_timeline

ROUNDS = 3
FRAMES, SIZE, RATE = 300, (720, 1280), 25
EVERY = ("1f", "5f", "1s", "keyframe")


def main() -> dict[str, Any]:
    """Medians, in frames of the clip per second of processor time."""
    figures: dict[str, Any] = {}
    keep_memory()  # as workers do
    with tempfile.TemporaryDirectory() as name:
        path = write_clip(Path(name, "clip.mp4"))
        figures["clip MB"] = round(path.stat().st_size / 1e6, 1)
        begin = time.process_time()
        timeline = read_timeline(str(path))
        figures["listing ms"] = round((time.process_time() - begin) * 1e3, 1)
        for every in EVERY:
            wanted = list(parse_every(every).choose(timeline))
            ways = {
                "segcli": partial(by_segcli, path, wanted),
                "pyav": partial(by_pyav, path, wanted),
            }
            figures |= {f"{every} {way}": rate for way, rate in rates(ways).items()}
        others: dict[str, Callable[[], None]] = {}
        if shutil.which("ffmpeg"):
            others["ffmpeg -f null"] = partial(by_ffmpeg, path)
        if importlib.util.find_spec("cv2"):
            others["cv2 loop"] = partial(by_cv2, path)
        figures |= rates(others)
        for way in ("ffmpeg -f null", "cv2 loop"):
            figures.setdefault(way, "not installed")
    return figures


def write_clip(path: Path, size: tuple[int, int] = SIZE) -> Path:
    """A slow pan over a photograph, with noise, as a camera that turns would see it."""
    from skimage import data

    enlarged = 3 if size[0] <= SIZE[0] else 4
    photograph = np.kron(data.coffee(), np.ones((enlarged, enlarged, 1), np.uint8))
    chance = np.random.default_rng(0)
    noise = chance.normal(0, 4, (8, *size, 3)).astype(np.int16)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "23"})
        stream.height, stream.width = size
        stream.pix_fmt, stream.gop_size = "yuv420p", 50
        for index in range(FRAMES):
            left = index
            view = photograph[200 : 200 + size[0], left : left + size[1]]
            pixels = np.clip(view + noise[index % len(noise)], 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def by_segcli(path: Path, wanted: Sequence[int]) -> None:
    for frame in read_frames(str(path), wanted):
        assert frame.pixels is not None


def by_pyav(path: Path, wanted: Sequence[int]) -> None:
    chosen = set(wanted)
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        video.codec_context.thread_count = 1
        for index, frame in enumerate(file.decode(video)):
            if index in chosen:
                frame.to_ndarray(format="rgb24")


def by_ffmpeg(path: Path) -> None:
    subprocess.run(
        ["ffmpeg", "-v", "error", "-threads", "1", "-i", path, "-f", "null", "-"], check=True
    )


def by_cv2(path: Path) -> None:
    import cv2

    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(str(path))
    while capture.read()[0]:
        pass


def rates(ways: dict[str, Callable[[], None]]) -> dict[str, float]:
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, work in ways.items():
            begin = processor_seconds()
            work()
            seconds[way].append(processor_seconds() - begin)
    return {way: round(FRAMES / statistics.median(times)) for way, times in seconds.items()}


def processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:<40} {value}")
