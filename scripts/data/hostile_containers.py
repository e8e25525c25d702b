"""Small sound archives and videos, which `scripts.data.hostile` damages."""

from __future__ import annotations

import io
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa

_CLIPS = {"clip.mp4": "libx264", "clip.mkv": "libx264", "clip.ts": "mpeg2video",
    "clip.avi": "mpeg4", "clip.mov": "mjpeg", "clip.webm": "libvpx"}  # fmt: skip
_FRAMES, _SIZE = 12, (48, 64)


def containers(images: Mapping[str, bytes]) -> dict[str, bytes]:
    """One of each kind, by a name with its suffix; the archives hold `images` and a video."""
    clips = {name: _clip(name, codec) for name, codec in _CLIPS.items()}
    members = {**images, "cam1/clip.mkv": clips["clip.mkv"]}
    tar = _tar(members)
    inner = {"a.zip": _zip(members), "b.tar": tar}
    deep = _zip(images)
    for depth in range(6):
        deep = _zip({f"{depth}.zip": deep})
    return {
        **clips,
        "plain.tar": tar,
        "plain.tar.gz": _tar(members, "w:gz"),
        "plain.tar.bz2": _tar(members, "w:bz2"),
        "plain.tar.zst": pa.compress(tar, codec="zstd", asbytes=True),
        "stored.zip": _zip(members, zipfile.ZIP_STORED),
        "deflated.zip": _zip(members),
        "nested.zip": _zip(inner, zipfile.ZIP_STORED),
        "nested.tar.gz": _tar(inner, "w:gz"),
        "deep.zip": deep,
    }


def _zip(files: Mapping[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", kind) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, kind)
    return made.getvalue()


def _tar(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def _clip(name: str, codec: str) -> bytes:
    chance = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        with av.open(str(path), "w") as file:
            stream = file.add_stream(codec, rate=10)  # type: ignore[call-overload]
            stream.height, stream.width = _SIZE
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for index in range(_FRAMES):
                pixels = chance.integers(0, 255, (*_SIZE, 3), np.uint8) // 8 + 20 * index % 200
                frame = av.VideoFrame.from_ndarray(pixels.astype(np.uint8), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 10)
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
        return path.read_bytes()
