"""From one image of an output to its files; what goes wrong with it is told, never raised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segcli.draw.images import Images
from segcli.draw.picture import Item, Style, cutout, draw, line_width, picture_size
from segcli.draw.save import place, save
from segcli.draw.select import Found
from segcli.draw.sheet import Thumbnail, thumbnail
from segcli.draw.truth import Truth, judged
from segcli.errors import ImageError, UsageError


@dataclass(frozen=True, slots=True)
class Job:
    """What came of an image: perhaps a thumbnail, or the reason why there is no picture."""

    thumbnail: Thumbnail | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Painter:
    """How images are drawn and where the pictures go; `out` None: nowhere, only thumbnails."""

    images: Images
    style: Style
    truth: Truth | None = None
    beside: bool = False
    out: Path | None = None
    kind: str = "jpg"

    def paint(self, image: Found, small: bool) -> Job:
        """Load, draw and save a still; `small`: with a thumbnail."""
        size = (image.height, image.width)
        least = picture_size(size, self.style.max_side)
        try:
            loaded = self.images.load(
                image.key, size, at_least=None if self.style.mode == "cutout" else least
            )
            return self.paint_pixels(image, loaded.pixels, small)[1]
        except (ImageError, UsageError) as error:
            return Job(error=str(error))

    def paint_pixels(
        self, image: Found, pixels: NDArray[np.uint8], small: bool
    ) -> tuple[NDArray[np.uint8], Job]:
        """The picture of an image, saved when there is a place. Raises UsageError."""
        size = (image.height, image.width)
        if self.style.mode == "cutout":
            self._save_cutouts(image, pixels)
            shown = draw(pixels, image.items, Style(max_side=720), image_size=size)
            return shown, Job(thumbnail(shown, image.key, image.items) if small else None)
        items = list(image.items)
        true_items: list[Item] = []
        if self.truth is not None:
            found = self.truth.objects(image.key, size)
            if found is None:
                raise UsageError("--gt has no image of that path or name")
            true_items, crowds = found
            items = judged(items, true_items, crowds, size)
        shown = draw(pixels, items, self.style, image_size=size)
        if self.beside:
            right = draw(pixels, true_items, self.style, image_size=size)
            shown = side_by_side(shown, right)
        if self.out is not None:
            save(shown, place(self.out, image.key, self.kind), self.kind)
        return shown, Job(thumbnail(shown, image.key, items) if small else None)

    def _save_cutouts(self, image: Found, pixels: NDArray[np.uint8]) -> None:
        """One file per object in a folder named like the image: 003-car-0.87.png."""
        assert self.out is not None, "VizOptions asks for --out with cutouts"
        folder = place(self.out, image.key, self.kind).with_suffix("")
        for number, item in enumerate(image.items):
            name = "".join(c if c.isalnum() else "-" for c in item.category)[:60]
            alone = cutout(pixels, item, image_size=(image.height, image.width))
            if alone.size:
                path = folder / f"{number:03d}-{name}-{item.score:.2f}.{self.kind}"
                save(alone, path, self.kind)


def side_by_side(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two pictures of one size with a white line between them."""
    gap = 2 * line_width((left.shape[0], left.shape[1])) + 2
    white = np.full((left.shape[0], gap, 3), 255, np.uint8)
    return np.concatenate([left, white, right], axis=1)
