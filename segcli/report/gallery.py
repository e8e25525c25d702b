"""The pictures of a report: small copies of images, with their masks as vector outlines."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segcli.errors import ImageError, UsageError
from segcli.keypoints import Skeleton
from segcli.keys import path_from_key
from segcli.report.outline import SCALE, figure_path, path_of
from segcli.store.image_masks import ImageMasks, Mask
from segcli.video.frames import read_frames
from segcli.viz import Images
from segcli.viz.keypoints import figure_of
from segcli.viz.label import printable
from segcli.viz.patch import patch_of
from segcli.viz.picture import picture_size
from segcli.viz.save import small_copy

SIDE = 640  # px: the longer side of a copy
MOST_BYTES = 15_000_000
"""Of all copies and outlines of a report."""

_BASE64 = 4 / 3
_OUTLINES = 9_000  # bytes an image, about
_MOST_MASKS = 60  # per image, the best ones
_SHOWN_KEY = 120  # characters of a key in an alternative text


@dataclass(frozen=True, slots=True)
class Shape:
    """One mask: `path` in units of SCALE per px of the copy."""

    category: str
    category_id: int
    score: float
    path: str


@dataclass(frozen=True, slots=True)
class Card:
    """One image: `source` is a data URI, (`width`, `height`) px of the copy."""

    key: str
    width: int
    height: int
    source: str
    shapes: tuple[Shape, ...]
    alt: str

    @property
    def view(self) -> str:
        return f"0 0 {self.width * SCALE} {self.height * SCALE}"


Made = tuple[Card | None, str, Exception | None]
"""(card, key, why there is none)"""


def cards(
    found: Sequence[ImageMasks],
    images: Images,
    *,
    workers: int,
    skeletons: Mapping[str, Skeleton],
) -> Iterator[Made]:
    """A card for every image, in order; videos last. `skeletons`: the lines between the keypoints
    of each category that has some."""
    budget = round((MOST_BYTES * 0.97 / max(1, len(found)) - _OUTLINES) / _BASE64)
    stills = [image for image in found if image.frame is None]
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda image: _still(image, images, budget, skeletons), stills)
    videos: dict[str, list[ImageMasks]] = {}
    for image in found:
        if image.frame is not None:
            videos.setdefault(path_from_key(image.key), []).append(image)
    for frames in videos.values():
        yield from _frames(frames, images, budget, skeletons)


def _still(
    image: ImageMasks, images: Images, budget: int, skeletons: Mapping[str, Skeleton]
) -> Made:
    try:
        loaded = images.load(image.key, image.size, at_least=picture_size(image.size, SIDE))
        return card(image, loaded.pixels, budget, skeletons), image.key, None
    except (ImageError, UsageError) as error:
        return None, image.key, error


def _frames(
    frames: Sequence[ImageMasks], images: Images, budget: int, skeletons: Mapping[str, Skeleton]
) -> Iterator[Made]:
    wanted = {frame.frame: frame for frame in frames if frame.frame is not None}
    left = dict(wanted)
    try:
        for frame in read_frames(images.video(frames[0].key), sorted(wanted)):
            image, pixels = left[frame.index], frame.pixels
            if pixels is None:
                del left[frame.index]
                reason = frame.error or "the frame cannot be decoded"
                yield None, image.key, ImageError(reason)
                continue
            if pixels.shape[:2] != image.size:
                raise ImageError("the video's frames have another size than the row says")
            made = card(image, pixels, budget, skeletons)
            del left[frame.index]
            yield made, image.key, None
    except (ImageError, UsageError) as error:
        for image in left.values():
            yield None, image.key, error


def card(
    image: ImageMasks,
    pixels: NDArray[np.uint8],
    budget: int,
    skeletons: Mapping[str, Skeleton],
) -> Card:
    """`budget`: bytes of the encoded copy. Raises UsageError for a damaged RLE."""
    kind, data, (height, width) = small_copy(pixels, picture_size(image.size, SIDE), budget)
    shapes = []
    for mask in image.masks[:_MOST_MASKS]:
        path = path_of(patch_of(mask.rle, image.size, (height, width)))
        scale = width / image.width, height / image.height
        path += figure_path(figure_of(mask.keypoints, skeletons.get(mask.category), scale))
        if path:
            name = printable(mask.category)
            shapes.append(Shape(name, mask.category_id, mask.score or 0.0, path))
    text = base64.b64encode(data).decode()
    source = f"data:image/{kind};base64,{text}"
    return Card(image.key, width, height, source, tuple(shapes), _alt(image.key, image.masks))


def _alt(key: str, masks: Sequence[Mask]) -> str:
    """As in "cam1/0001.jpg: 3 car, 1 person"."""
    shown = printable(key)
    if len(shown) > _SHOWN_KEY:
        shown = shown[: _SHOWN_KEY // 2] + "…" + shown[-_SHOWN_KEY // 2 :]
    counts = Counter(printable(mask.category) for mask in masks)
    told = ", ".join(f"{n} {name}" for name, n in counts.most_common(8))
    return f"{shown}: {told or 'nothing found'}"
