"""The types of a run, in the order in which they are used.

px = pixel. *Original* = the decoded image after EXIF rotation, before any scaling. *Canvas* = the
input of the network: the image resized to its *content* size, then padded right and below. Sizes
are (height, width); boxes are continuous, and [0, 0, 1, 1] xyxy is the first pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Size = tuple[int, int]  # (height, width), px


@dataclass(frozen=True, slots=True)
class Member:
    """The location of an image in an archive: the `number` of its entry from 0, its `size` in
    bytes, and the `offset` of its bytes in an uncompressed tar, None in other archives. `within` is
    the archive that contains it, if that is itself a member of another."""

    name: str
    number: int
    size: int
    offset: int | None = None
    within: Member | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One image to be processed. A source creates it with the location of the encoded image.

    `path` is the file on disk (undecodable bytes as surrogates, see os.fsdecode). `data` is the
    encoded image itself if a manifest contains it; then `path` is only a name for messages.
    `size_bytes` and `mtime_ns` are None if listing could not read them (the file has vanished).
    `frame` (index in the video, from 0) and `time_s` (its presentation time) are None for stills.
    `member` is set for an image inside the archive `path`; `size_bytes` is then that of the member.
    `carried` are the other columns of a manifest, without the `src_` prefix that they get on disk.
    """

    key: str
    path: str
    data: bytes | None = None
    size_bytes: int | None = None
    mtime_ns: int | None = None
    frame: int | None = None
    time_s: float | None = None
    member: Member | None = None
    carried: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """One decoded image: `pixels` uint8 (h, w, 3) RGB; `original_size` (H, W) px.

    `original_size` is larger than the pixels if the image was decoded at a smaller size (JPEG DCT
    scaling) or resized to its content size. `warnings` state why the image may be wrong or
    incomplete; each begins with a kind and a colon ("damaged: ...", "several pages: ...").
    """

    key: str
    pixels: NDArray[np.uint8]
    original_size: Size
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of an image, original px; `y` and `x` are those of its first pixel."""

    y: int
    x: int
    height: int
    width: int

    def shared(self, other: Tile) -> Tile:
        """What lies in both; its sides are 0 where there is nothing."""
        y, x = max(self.y, other.y), max(self.x, other.x)
        low = min(self.y + self.height, other.y + other.height)
        right = min(self.x + self.width, other.x + other.width)
        return Tile(y, x, max(0, low - y), max(0, right - x))


@dataclass(frozen=True, slots=True)
class Batch:
    """B images of one canvas: `pixels` uint8 (B, 3, Hc, Wc) RGB, padded right and below with zeros.

    `content_sizes` ((h, w), ...) canvas px and `image_sizes` ((H, W), ...) original px. A model
    sets everything beyond the content to zero *after* normalising.
    """

    keys: tuple[str, ...]
    pixels: Tensor
    content_sizes: tuple[Size, ...]
    image_sizes: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Instances:
    """The N objects that a model found in one image, in any order; tensors on the model's device.

    `scores` f32 (N,) in [0, 1]; `labels` i64 (N,) index into the model's categories (no
    background); `boxes` f32 (N, 4) xyxy canvas px, or None (then taken from the mask).
    `fields` f32 (N, h, w) are sampled bilinearly over `extents` f32 (N, 4), the xyxy canvas
    rectangle that the grid spans: cell (i, j) has its centre at ((j + 0.5) / w, (i + 0.5) / h) of
    the rectangle. A pixel belongs to the mask when the value at its centre is >= `threshold`
    (> when `strict`). Beyond the grid the value is `outside` (a number, reached linearly over half
    a cell, as zero padding does), or the nearest edge value for "clamp". A mask never leaves the
    image. `mask_scores` f32 (N,) in [0, 1] rate the masks alone, if the model does; masks are
    ranked by them in an evaluation. `keypoints` f32 (N, P, 3): x and y in canvas px and a score in
    [0, 1] of each of the P keypoints of `ModelInfo.keypoints`; None if the model has none.
    """

    scores: Tensor
    labels: Tensor
    boxes: Tensor | None
    fields: Tensor
    extents: Tensor
    threshold: float = 0.5
    strict: bool = False
    outside: float | Literal["clamp"] = 0.0
    mask_scores: Tensor | None = None
    keypoints: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """One object in original px: `box` (x, y, w, h), `area` px > 0, `rle` COCO compressed counts.

    The size of the RLE is the record's (height, width). `label` indexes the model's categories.
    `mask_score` in [0, 1] rates the mask alone, `track_id` is the same for one object in all frames
    of its camera, `zones` are the names of the zones that it stands in, and `keypoints` are (x, y,
    score) in original px in the order of its category; each None where nothing computed it.
    """

    label: int
    score: float
    box: tuple[float, float, float, float]
    area: int
    rle: bytes
    mask_score: float | None = None
    track_id: int | None = None
    zones: tuple[str, ...] | None = None
    keypoints: tuple[tuple[float, float, float], ...] | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What an image looks like as a whole: the mean `light` of its luminance grid and the deviation
    of the cells (`contrast`), the mean difference of neighbouring px (`detail`), each in grey
    levels of 0 to 255, and the 64 bits of a difference `hash` as a signed number."""

    light: float
    contrast: float
    detail: float
    hash: int


@dataclass(frozen=True, slots=True)
class Record:
    """The result for one sample: its segments, best first, or the reason why there are none.

    `height` and `width` are in original px; None if the image could not be opened. `warnings` are
    those of the Image. `repeats` is the key of the frame that this one repeats: then the model did
    not see it, and it has no segments. `view` is None unless it was measured.
    """

    sample: Sample
    height: int | None
    width: int | None
    segments: Sequence[Segment] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()
    repeats: str | None = None
    view: View | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """The annotations of one image: `labels` i64 (N,), `boxes` f32 (N, 4) xyxy canvas px, `masks`
    bool (N, Hc, Wc), `crowd` bool (N,): regions that are neither object nor background.

    `exhaustive` bool (C,): whether every object of a category is annotated in the image; a
    detection of any other category is neither right nor wrong. None: all are exhaustive.
    `outlined` bool (N,): whether the mask is a real outline; otherwise it is the filled box. None:
    all masks are outlines. `keypoints` f32 (N, P, 3): x and y in canvas px, and 2 for a visible
    keypoint, 1 for a hidden one, 0 for one that is not annotated. None: no keypoints are known.
    """

    labels: Tensor
    boxes: Tensor
    masks: Tensor
    crowd: Tensor
    exhaustive: Tensor | None = None
    outlined: Tensor | None = None
    keypoints: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Resize:
    """How an image is resized to its content size, which depends only on its own size.

    "keep" scales by s = short / min(H, W), or less if the long side would exceed `long`; "stretch"
    resizes to exactly (short, long) = (height, width). `rounding`: how a side becomes an integer,
    at least 1 px. `antialias`: use a triangle filter when shrinking (as PIL), or two-tap bilinear.
    """

    short: int
    long: int
    mode: Literal["keep", "stretch"] = "keep"
    rounding: Literal["round", "floor"] = "round"
    antialias: bool = True


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The description of a model; stored in the header of its weights.

    `category_ids` are the ids of the data set. The canvas is padded to a multiple of `stride` px
    (1: no padding). `default_score` is the score with the best F1 on the validation data, from
    which `viz`, `stats`, `report` and `export` show masks; `default_scores` (C,) are those of the
    categories, if they are known. The model itself knows the mean and deviation of the pixels.
    `keypoints` are the names of the P keypoints of each object, and `skeleton` the pairs of them,
    counted from 0, that a line connects; None if the model finds no keypoints.
    """

    family: str
    variant: str
    categories: tuple[str, ...]
    category_ids: tuple[int, ...]
    resize: Resize
    stride: int
    default_score: float = 0.5
    default_scores: tuple[float, ...] | None = None
    keypoints: tuple[str, ...] | None = None
    skeleton: tuple[tuple[int, int], ...] | None = None
