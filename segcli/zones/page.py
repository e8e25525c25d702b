"""The page on which zones are drawn: one HTML file that loads nothing from elsewhere.

A content-security policy names its style and its script by their hashes and forbids the rest.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from segcli.errors import ImageError, UsageError
from segcli.images import decode
from segcli.images.codecs import encode_webp
from segcli.sources.folder import VIDEO_SUFFIXES
from segcli.types import Image
from segcli.video.frames import read_frames
from segcli.zones.zone import Zones

_QUALITY = 85


def read_frame(path: Path) -> Image:
    """An image, or the first frame of a video. Raises UsageError."""
    try:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            return _first_frame(path)
        return decode(path.read_bytes(), key=path.name)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror or error}; expected an image or a video"
        ) from None
    except ImageError as error:
        raise UsageError(f"{path}: {error}; choose another image or a video") from None


def _first_frame(path: Path) -> Image:
    for frame in read_frames(str(path), [0]):
        if frame.pixels is not None:
            height, width = frame.pixels.shape[:2]
            return Image(path.name, frame.pixels, (height, width))
        raise ImageError(frame.error or "its first frame cannot be decoded")
    raise ImageError("it has no frames")


def drawing_page(image: Image, zones: Zones | None, *, camera: str, file: str) -> str:
    """The HTML; `zones` are there from the beginning, `camera` is that of new ones, and `file` the
    name under which the page saves them."""
    height, width = image.pixels.shape[:2]
    picture = base64.b64encode(encode_webp(image.pixels, _QUALITY)).decode()
    style, script = _read("zones.css"), _read("zones.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_read("zones.html.j2")).render(
        title=image.key,
        source=f"data:image/webp;base64,{picture}",
        width=width,
        height=height,
        zones=json.dumps(None if zones is None else zones.content),
        camera=camera,
        file=file,
        style=Markup(style),  # our own files, in which nothing of a user's stands
        script=Markup(script),
        policy=policy,
    )


def _read(name: str) -> str:
    return (files("segcli.zones") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
