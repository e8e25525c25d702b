"""Draw one image of an output and write its files; errors are reported, not raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw

from segcli.errors import ImageError, UsageError
from segcli.store.image_masks import ImageMasks
from segcli.types import Size
from segcli.viz.images import Images, MissingFile
from segcli.viz.label import font, text_size
from segcli.viz.palette import FALSE, MISSED, TRUE
from segcli.viz.picture import ShownMask, Style, cutout, draw, line_width, picture_size
from segcli.viz.save import place, refuse_original, save
from segcli.viz.sheet import CELL, Thumbnail, thumbnail
from segcli.viz.tracks import Moving
from segcli.viz.truth import Truth, judged, verdicts
from segcli.viz.zones import draw_zones
from segcli.zones import Zone, ZonePass

_INK = (28, 28, 30)


@dataclass(frozen=True, slots=True)
class Job:
    """What came of an image: perhaps a thumbnail, or the reason why there is no picture.

    `is_missing`: its file is not there.
    """

    thumbnail: Thumbnail | None = None
    error: str | None = None
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """One image (`pixels` perhaps smaller than its `size`, (H, W) px) and what is to be drawn."""

    pixels: NDArray[np.uint8]
    size: Size
    masks: Sequence[ShownMask]
    truth: Sequence[ShownMask] = ()
    zones: Sequence[Zone] = ()
    moving: Moving | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Painter:
    """How images are drawn and where the pictures go; `out` None: nowhere, only thumbnails."""

    images: Images
    style: Style
    truth: Truth | None = None
    zones: ZonePass | None = None
    beside: bool = False
    out: Path | None = None
    kind: str = "jpg"

    def paint(self, image: ImageMasks, small: bool) -> Job:
        """Load, draw and save a still; `small`: with a thumbnail."""
        least = picture_size(image.size, self.style.max_side)
        try:
            loaded = self.images.load(
                image.key, image.size, at_least=None if self.style.mode == "cutout" else least
            )
            return self.paint_pixels(image, loaded.pixels, small)[1]
        except (ImageError, UsageError) as error:
            return Job(error=str(error), is_missing=isinstance(error, MissingFile))

    def paint_pixels(
        self,
        image: ImageMasks,
        pixels: NDArray[np.uint8],
        small: bool,
        moving: Moving | None = None,
    ) -> tuple[NDArray[np.uint8], Job]:
        """The picture of an image, saved when there is a place. Raises UsageError."""
        if self.style.mode == "cutout":
            self._save_cutouts(image, pixels)
            scene = Scene(pixels, image.size, _unjudged(image))
            return pixels, Job(self._thumbnail(image, scene) if small else None)
        scene = self._scene(image, pixels)
        shown = self._drawn(replace(scene, moving=moving), self.style)
        if self.out is not None:
            target = place(self.out, image.key, self.kind)
            refuse_original(target, self.images.path(image.key))
            save(shown, target, self.kind)
        return shown, Job(self._thumbnail(image, scene) if small else None)

    def _scene(self, image: ImageMasks, pixels: NDArray[np.uint8]) -> Scene:
        """With the ground truth, when there is one."""
        zones = () if self.zones is None else self.zones.of(image.key)
        if self.truth is None:
            return Scene(pixels, image.size, _unjudged(image), zones=zones)
        found = self.truth.objects(image.key, image.size)
        if found is None:
            raise UsageError("--gt has no image of that path or name")
        objects, crowds = found
        masks = [mask for mask in image.masks if self.truth.counts(mask)]
        shown = judged(masks, objects, crowds, image.size)
        return Scene(pixels, image.size, shown, verdicts(objects, shown), zones)

    def _drawn(self, scene: Scene, style: Style) -> NDArray[np.uint8]:
        left = draw(scene.pixels, scene.masks, style, image_size=scene.size, moving=scene.moving)
        left = draw_zones(left, scene.zones, labels=style.labels)
        if not self.beside:
            return left
        right = draw(scene.pixels, scene.truth, style, image_size=scene.size)
        right = draw_zones(right, scene.zones, labels=style.labels)
        return side_by_side(left, right, headings=style.labels)

    def _thumbnail(self, image: ImageMasks, scene: Scene) -> Thumbnail:
        """Drawn anew at its size, without labels, which nobody could read: the caption has them."""
        mode = "overlay" if self.style.mode == "cutout" else self.style.mode
        across = CELL[0] // 2 - 2 if self.beside else CELL[0]
        share = min(1.0, across / scene.size[1], CELL[1] / scene.size[0])
        style = replace(
            self.style,
            mode=mode,
            boxes=False,
            labels=False,
            max_side=max(1, int(max(scene.size) * share)),
        )
        return thumbnail(self._drawn(scene, style), image.key, scene.masks)

    def _save_cutouts(self, image: ImageMasks, pixels: NDArray[np.uint8]) -> None:
        """One file per object in a folder named like the image: 003-car-0.87.png."""
        assert self.out is not None, "VizOptions asks for --out with cutouts"
        folder = place(self.out, image.key, self.kind).with_suffix("")
        for number, mask in enumerate(image.masks):
            name = "".join(c if c.isalnum() else "-" for c in mask.category)[:60]
            alone = cutout(pixels, mask, image_size=image.size)
            if alone.size:
                path = folder / f"{number:03d}-{name}-{mask.score:.2f}.{self.kind}"
                save(alone, path, self.kind)


def _unjudged(image: ImageMasks) -> list[ShownMask]:
    return [ShownMask(mask) for mask in image.masks]


def side_by_side(
    left: NDArray[np.uint8], right: NDArray[np.uint8], *, headings: bool
) -> NDArray[np.uint8]:
    """Two pictures of one size with a white line between them, and above them which is which and
    what their colours mean."""
    h, w = left.shape[:2]
    gap = 2 * line_width((h, w)) + 2
    size = text_size(w, h)
    line = round(1.6 * size)
    top = 2 * line if headings else 0
    page = PilImage.new("RGB", (2 * w + gap, h + top), (255, 255, 255))
    if headings:
        canvas = ImageDraw.Draw(page)
        for x, text in ((0, "found"), (w + gap, "ground truth")):
            canvas.text((x + size // 3, line // 2), text, _INK, font(size), anchor="lm")
        _legend(canvas, size // 3, line + line // 2, size)
    page.paste(PilImage.fromarray(left), (0, top))
    page.paste(PilImage.fromarray(right), (w + gap, top))
    return np.asarray(page)


def _legend(canvas: ImageDraw.ImageDraw, x: float, y: float, size: int) -> None:
    """From (x, y), px, the middle of the left end."""
    half = size // 3
    for colour, text in ((TRUE, "right"), (FALSE, "wrong"), (MISSED, "missed")):
        canvas.rectangle((x, y - half, x + 2 * half, y + half), colour, _INK)
        x += 2 * half + size // 3
        canvas.text((x, y), text, _INK, font(size), anchor="lm")
        x += font(size).getlength(text) + size
