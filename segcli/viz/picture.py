"""One image with its objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw

from segcli.keypoints import Skeleton
from segcli.store.image_masks import Mask
from segcli.types import Size
from segcli.viz.keypoints import draw_figure, figure_of
from segcli.viz.label import Labels, printable
from segcli.viz.palette import FALSE, MISSED, TRUE, Colour, colour_of
from segcli.viz.patch import Patch, grown, patch_of, rims
from segcli.viz.tracks import Moving, draw_moving, draw_time

Mode = Literal["overlay", "outline", "blur", "cutout"]
Verdict = Literal["true", "false", "missed"]

_HALO = np.uint8(190)  # of 255: how white the light line around a mask is


@dataclass(frozen=True, slots=True)
class ShownMask:
    """One object to draw; `verdict` says how prediction and ground truth agree on it."""

    mask: Mask
    verdict: Verdict | None = None

    @property
    def colour(self) -> Colour:
        if self.verdict is None:
            return colour_of(self.mask.track_id or self.mask.category_id)
        return {"true": TRUE, "false": FALSE, "missed": MISSED}[self.verdict]

    @property
    def text(self) -> str:
        said = {"false": "wrong ", "missed": "missed "}.get(self.verdict or "", "")
        score = "" if self.mask.score is None else f" {self.mask.score:.2f}"
        return printable(f"{said}{self._number}{self.mask.category}{score}")

    @property
    def short(self) -> str:
        """What is left of the text where there is no room."""
        if self._number:
            return self._number.strip()
        return "" if self.mask.score is None else f"{self.mask.score:.2f}".lstrip("0")

    @property
    def _number(self) -> str:
        """That of the track, as in "#12 "."""
        return "" if self.mask.track_id is None else f"#{self.mask.track_id} "


@dataclass(frozen=True, slots=True)
class Style:
    """`alpha` of the filling, 0..1. Lines and text scale with the picture. `skeletons`: the lines
    between the keypoints of each category that has some."""

    mode: Mode = "overlay"
    alpha: float = 0.45
    boxes: bool = True
    labels: bool = True
    max_side: int | None = None
    skeletons: Mapping[str, Skeleton] = field(default_factory=dict)


def line_width(picture: Size) -> int:
    """px, for a picture (h, w)."""
    return max(1, round(min(picture) / 360))


def picture_size(image: Size, max_side: int | None) -> Size:
    """(h, w) of the picture of an image (H, W): its long side is at most `max_side` px."""
    longest = max(image)
    if max_side is None or longest <= max_side:
        return image
    scale = max_side / longest
    return max(1, round(image[0] * scale)), max(1, round(image[1] * scale))


def draw(
    pixels: NDArray[np.uint8],
    masks: Sequence[ShownMask],
    style: Style,
    *,
    image_size: Size,
    moving: Moving | None = None,
) -> NDArray[np.uint8]:
    """The picture, uint8 (h, w, 3) RGB, of an image of `image_size` (H, W) px; of a frame, perhaps
    with what is `moving`.

    `pixels` may be smaller than that (decoded at a fraction); the picture has the size that
    `style` says. The large objects are painted first, so that none hides a smaller one.
    Raises UsageError for a damaged RLE.
    """
    size = picture_size(image_size, style.max_side)
    picture = PilImage.fromarray(pixels)
    if picture.size != size[::-1]:
        picture = picture.resize(size[::-1], PilImage.Resampling.BOX, reducing_gap=2)
    patches = [(shown, patch_of(shown.mask.rle, image_size, size)) for shown in masks]
    patches = [(shown, patch) for shown, patch in patches if patch.cover.size]
    patches.sort(key=lambda pair: -pair[1].cover.size)
    if style.mode == "blur":
        for _, patch in patches:
            _pixelate(picture, patch)
    else:
        _paint(picture, patches, style)
        _figures(picture, patches, style, image_size)
        scale = size[1] / image_size[1]
        if moving is not None:
            draw_moving(ImageDraw.Draw(picture), moving, scale, line_width(size))
        _annotate(picture, patches, style, scale)
        if moving is not None and moving.time is not None and style.labels:
            draw_time(ImageDraw.Draw(picture), moving.time, picture.size)
    return np.asarray(picture)


def cutout(pixels: NDArray[np.uint8], mask: Mask, *, image_size: Size) -> NDArray[np.uint8]:
    """The object alone on nothing: uint8 (h, w, 4) RGBA, its tight box; (0, 0, 4) when empty."""
    patch = patch_of(mask.rle, image_size, image_size)
    h, w = patch.cover.shape
    out = np.empty((h, w, 4), np.uint8)
    out[..., :3] = pixels[patch.y : patch.y + h, patch.x : patch.x + w]
    out[..., 3] = patch.cover
    return out


def _paint(
    picture: PilImage.Image, patches: Sequence[tuple[ShownMask, Patch]], style: Style
) -> None:
    width = line_width((picture.height, picture.width))
    for shown, patch in patches:
        # A light line around the coloured one parts objects of one colour that touch. What is
        # smaller than that goes without.
        hair = max(1, width // 2) if min(patch.cover.shape) >= 10 * width else 0
        light, solid = rims(patch.inside, hair, width)
        # What is missing is shown by its outline alone, so that the object itself can be seen; as
        # is an object that is known by its keypoints and whose mask is its box.
        alone = shown.verdict == "missed" or (shown.mask.keypoints and patch.cover.all())
        if style.mode == "overlay" and not alone:
            alpha = (patch.cover * np.float32(style.alpha)).astype(np.uint8)
            alpha[solid | light] = 255
        else:
            alpha = (solid | light).astype(np.uint8) * np.uint8(255)
        place = (patch.x, patch.y)
        picture.paste(shown.colour, place, PilImage.fromarray(alpha))
        if hair:
            halo = light.astype(np.uint8) * _HALO
            picture.paste((255, 255, 255), place, PilImage.fromarray(halo))


def _figures(
    picture: PilImage.Image,
    patches: Sequence[tuple[ShownMask, Patch]],
    style: Style,
    image_size: Size,
) -> None:
    canvas, width = ImageDraw.Draw(picture), line_width((picture.height, picture.width))
    scale = picture.width / image_size[1], picture.height / image_size[0]
    for shown, _ in patches:
        skeleton = style.skeletons.get(shown.mask.category)
        figure = figure_of(shown.mask.keypoints, skeleton, scale)
        draw_figure(canvas, figure, shown.colour, width)


def _annotate(
    picture: PilImage.Image, patches: Sequence[tuple[ShownMask, Patch]], style: Style, scale: float
) -> None:
    width = max(1, line_width((picture.height, picture.width)) // 2)
    canvas, boxes = ImageDraw.Draw(picture), []
    for shown, _ in patches:
        x, y, w, h = (side * scale for side in shown.mask.box)
        boxes.append((x, y, min(x + w, picture.width - 1), min(y + h, picture.height - 1)))
        if style.boxes and boxes[-1][2] >= x and boxes[-1][3] >= y:
            canvas.rectangle(boxes[-1], outline=shown.colour, width=width)
    if style.labels:
        labels = Labels(picture, boxes)
        # The best first: they have the choice of places.
        for i in sorted(range(len(boxes)), key=lambda i: -(patches[i][0].mask.score or 0)):
            shown = patches[i][0]
            labels.add((shown.text, shown.short), boxes[i], shown.colour)


def _pixelate(picture: PilImage.Image, patch: Patch) -> None:
    """Squares of one colour each, an eighth of the object, over the mask and a margin around it.

    Nothing finer than a square stays; the margin is there because masks miss hair and edges.
    """
    square = max(6, round(max(patch.cover.shape) / 8), round(min(picture.size) / 80))
    margin = max(2, square // 3)
    mask = grown(patch.inside, margin)
    x, y = patch.x - margin, patch.y - margin
    wide, tall = mask.shape[1], mask.shape[0]
    across, along = -(-wide // square), -(-tall // square)
    region = picture.crop((x, y, x + across * square, y + along * square))
    _fill_beyond(region, picture, x, y)
    coarse = region.resize((across, along), PilImage.Resampling.BOX)
    squares = coarse.resize(region.size, PilImage.Resampling.NEAREST)
    picture.paste(
        squares.crop((0, 0, wide, tall)),
        (x, y),
        PilImage.fromarray(mask.astype(np.uint8) * np.uint8(255)),
    )


def _fill_beyond(region: PilImage.Image, picture: PilImage.Image, x: int, y: int) -> None:
    """Beyond the picture's border the region repeats the border, or the squares would darken."""
    columns = np.clip(np.arange(x, x + region.width), 0, picture.width - 1)
    rows = np.clip(np.arange(y, y + region.height), 0, picture.height - 1)
    ends = (x, x + region.width - 1, y, y + region.height - 1)
    if (columns[0], columns[-1], rows[0], rows[-1]) == ends:
        return
    left, top, right, bottom = (int(at) for at in (columns[0], rows[0], columns[-1], rows[-1]))
    inner = picture.crop((left, top, right + 1, bottom + 1))
    pixels = np.asarray(inner)[rows - rows[0]][:, columns - columns[0]]
    region.paste(PilImage.fromarray(pixels))
