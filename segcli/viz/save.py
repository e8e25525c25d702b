"""Write pictures to files, inside the folder and without metadata of the original."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from segcli.errors import UsageError
from segcli.files import write_bytes
from segcli.images.codecs import encode_webp
from segcli.keys import path_from_key, split_frame
from segcli.types import Size

Format = Literal["jpg", "png", "webp"]

_SAVE: dict[str, dict[str, Any]] = {
    "jpg": {"format": "JPEG", "quality": 90, "subsampling": 0},
    "png": {"format": "PNG", "compress_level": 4},
}
_WEBP_QUALITY = 85
_LONGEST = 200  # bytes of a name: file systems take 255


def encode(pixels: NDArray[np.uint8], kind: str) -> bytes:
    """uint8 (h, w, 3) RGB, or (h, w, 4) RGBA for png and webp, as a file of that kind."""
    if kind == "webp":
        return encode_webp(pixels, _WEBP_QUALITY)
    out = io.BytesIO()
    PilImage.fromarray(pixels).save(out, **_SAVE[kind])
    return out.getvalue()


def save(pixels: NDArray[np.uint8], path: Path, kind: str) -> None:
    """Raises OutputError."""
    write_bytes(path, encode(pixels, kind))


def refuse_original(path: Path, original: Path) -> None:
    """Raises UsageError when a picture at `path` would overwrite the image that it shows."""
    with contextlib.suppress(OSError):
        if path.samefile(original):
            raise UsageError(f"{path} is the image itself; write to another folder")


def place(folder: Path, key: str, kind: str) -> Path:
    """Where the picture of a key goes: its path below `folder`, with the suffix of its kind.

    A suffix that is already right stays alone (a.jpg), another one stays before it (a.png.jpg):
    two images that differ in it are two pictures. A frame is a file in its video's folder.
    """
    path, frame = path_from_key(key), split_frame(key)[1]
    names = _names(path)
    if frame is not None:
        return folder.joinpath(*names, f"{frame:06d}.{kind}")
    if not names[-1].lower().endswith((f".{kind}", ".jpeg" if kind == "jpg" else f".{kind}")):
        names[-1] += f".{kind}"
    return folder.joinpath(*names)


def video_place(folder: Path, path: str) -> Path:
    """Where the drawn video of a path goes below `folder`, whatever the path is."""
    return folder.joinpath(*_names(path)).with_suffix(".mp4")


def in_order(key: str) -> tuple[str, int]:
    """What keys are sorted by: frames by their number."""
    frame = split_frame(key)[1]
    return path_from_key(key), -1 if frame is None else frame


def _names(path: str) -> list[str]:
    return [_name(part) for part in path.split("/") if part not in ("", ".")] or ["_"]


def _name(part: str) -> str:
    if part == "..":
        return "__"
    raw = os.fsencode(part)
    if len(raw) <= _LONGEST:
        return part.replace("\0", "_")
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return f"{os.fsdecode(raw[: _LONGEST - 40])}~{digest}{os.path.splitext(part)[1][:12]}"


def small_copy(pixels: NDArray[np.uint8], size: Size, budget: int) -> tuple[str, bytes, Size]:
    """(kind, WebP file, its (h, w)) of an image shrunk to `size` (h, w) or less.

    Quality falls first, then the size, until the file has at most `budget` bytes, as far as a
    picture can still be recognised.
    """
    picture = PilImage.fromarray(pixels)
    for shrink, quality in ((1.0, 74), (1.0, 60), (0.8, 55), (0.6, 50), (0.45, 40)):
        h, w = (max(1, round(side * shrink)) for side in size)
        smaller = picture.resize((w, h), PilImage.Resampling.BICUBIC, reducing_gap=3)
        file = encode_webp(np.asarray(smaller), quality)
        if len(file) <= budget:
            break
    return "webp", file, (h, w)
