"""Clips whose frames show their own index, so that an off-by-one shows."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

BITS, WIDTH = 8, 12  # of the index, each a bar of so many px, white for 1
SIZE = (64, BITS * WIDTH)


def picture(index: int) -> np.ndarray:
    bits = np.array([index >> bit & 1 for bit in range(BITS)], np.uint8) * 255
    row = np.repeat(bits, WIDTH)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (*SIZE, 3)))


def shown(pixels: np.ndarray) -> int:
    """The index that a decoded frame shows."""
    bars = pixels.reshape(SIZE[0], BITS, WIDTH, 3)[:, :, 2:-2].mean((0, 2, 3))
    return sum(1 << bit for bit in range(BITS) if bars[bit] > 128)


def write_clip(
    path: Path,
    frames: int = 60,
    *,
    codec: str = "mpeg4",
    rate: int = 10,
    keyframe_every: int = 10,
    b_frames: int = 0,
    times: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    **kinds: Any,
) -> Path:
    """`times` in units of 1 / rate, one for each frame; by default one after the other."""
    with av.open(str(path), "w", **kinds) as file:
        file.metadata.update(metadata or {})
        stream = file.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = SIZE
        stream.pix_fmt, stream.gop_size = "yuv420p", keyframe_every
        stream.codec_context.max_b_frames = b_frames
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts = index if times is None else times[index]
            frame.time_base = Fraction(1, rate)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path
