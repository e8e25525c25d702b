"""Make training samples from annotated images: resize, jitter, flip, colour, copy-paste.

The random numbers of a sample depend only on (seed, epoch, index), so a resumed training sees the
same samples as an uninterrupted one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from segcli import images
from segcli.annotations.outlines import Outline, to_rle
from segcli.errors import ImageError, UsageError
from segcli.images import batch
from segcli.masks import rle
from segcli.train.data import AnnotatedImage
from segcli.train.keypoints import (
    flipped_keypoints,
    hidden_below,
    in_window,
    placed_keypoints,
)
from segcli.types import Image, ModelInfo, Resize, Size

_SMALLEST = 16  # px: smaller remains of an object are not trained on


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The strength of the augmentation; `Augmentation.none()` is for validation samples."""

    flip: float = 0.5  # probability
    scale: tuple[float, float] = (0.7, 1.3)  # of the size that fits the canvas
    colour: float = 0.3  # brightness, contrast and saturation vary by this share
    paste: float = 0.5  # probability that objects of another image are pasted in

    @staticmethod
    def none() -> Augmentation:
        return Augmentation(flip=0.0, scale=(1.0, 1.0), colour=0.0, paste=0.0)


@dataclass(frozen=True, slots=True)
class Example:
    """A training sample on its canvas: `pixels` uint8 (H, W, 3), zero beyond `content`;
    `masks` bool (N, H, W); `labels`, `crowd`, `outlined` (N,), see Targets; `exhaustive` (C,);
    `boxes` (N, 4) of the masks, once all is in place; `keypoints` f32 (N, P, 3), or None if the
    model finds none."""

    pixels: NDArray[np.uint8]
    content: Size
    masks: NDArray[np.bool_]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    outlined: NDArray[np.bool_]
    exhaustive: tuple[bool, ...]
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    keypoints: NDArray[np.float32] | None = None


def make_example(
    row: AnnotatedImage,
    canvas: Size,
    rng: np.random.Generator,
    *,
    augmentation: Augmentation,
    donor: AnnotatedImage | None = None,
) -> Example:
    """One sample; `donor` is the image whose objects may be pasted in."""
    example = _place(row, canvas, rng, augmentation)
    if donor is not None and rng.random() < augmentation.paste:
        example = _paste(example, _place(donor, canvas, rng, augmentation), rng)
    if augmentation.colour:
        example = replace(example, pixels=_recolour(example, rng, augmentation.colour))
    return _without_crumbs(example)


def _place(
    row: AnnotatedImage, canvas: Size, rng: np.random.Generator, augmentation: Augmentation
) -> Example:
    """Scale to the canvas times a random factor, crop or pad, perhaps flip."""
    try:
        image = images.decode(row.path.read_bytes(), key=row.path.name)
    except (ImageError, OSError) as error:
        raise UsageError(f"{row.path} cannot be trained on: {error}") from error
    height, width = image.original_size
    factor = min(canvas[0] / height, canvas[1] / width) * rng.uniform(*augmentation.scale)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    pixels = _resized(image, size)
    masks, points = _masks(row, size), placed_keypoints(row, size)
    if rng.random() < augmentation.flip:
        pixels, masks = pixels[:, ::-1], masks[:, :, ::-1]
        points = None if points is None else flipped_keypoints(points, row.keypoints or (), size[1])
    top = int(rng.integers(0, max(0, size[0] - canvas[0]) + 1))
    left = int(rng.integers(0, max(0, size[1] - canvas[1]) + 1))
    content = (min(size[0], canvas[0]), min(size[1], canvas[1]))
    window = (slice(top, top + content[0]), slice(left, left + content[1]))
    padding = ((0, canvas[0] - content[0]), (0, canvas[1] - content[1]))
    return Example(
        pixels=np.pad(pixels[window], (*padding, (0, 0))),
        content=content,
        masks=np.pad(masks[:, window[0], window[1]], ((0, 0), *padding)),
        labels=np.array([a.label for a in row.annotations], dtype=np.int64),
        crowd=np.array([a.crowd for a in row.annotations], dtype=np.bool_),
        outlined=np.array([a.box is None for a in row.annotations], dtype=np.bool_),
        exhaustive=row.exhaustive,
        keypoints=None if points is None else in_window(points, (top, left), content),
    )


def _resized(image: Image, size: Size) -> NDArray[np.uint8]:
    resize = Resize(short=size[0], long=size[1], mode="stretch")
    return batch.fit(image, ModelInfo("", "", (), (), resize, 1)).pixels


def _masks(row: AnnotatedImage, size: Size) -> NDArray[np.bool_]:
    """Polygons are scaled before they are drawn, RLEs after they are decoded (nearest)."""
    masks = np.zeros((len(row.annotations), *size), dtype=np.bool_)
    for mask, annotation in zip(masks, row.annotations, strict=True):
        if annotation.box is not None:
            mask[_window(annotation.box, row.size, size)] = True
            continue
        try:
            assert annotation.outline is not None, "what has no box has an outline"
            mask[:] = _draw(annotation.outline, row.size, size)
        except UsageError as error:
            raise UsageError(f"{row.path}: an annotation cannot be drawn: {error}") from error
    return masks


def _window(
    box: tuple[float, float, float, float], original: Size, size: Size
) -> tuple[slice, slice]:
    """The rows and columns, at least one, of a box xywh of an image that is scaled to `size`."""
    x, y, w, h = box
    slices = []
    for low, side, side_of in ((y, h, 0), (x, w, 1)):
        scale = size[side_of] / original[side_of]
        first = min(max(round(low * scale), 0), size[side_of] - 1)
        slices.append(slice(first, max(first + 1, round((low + side) * scale))))
    return slices[0], slices[1]


def _draw(outline: Outline, original: Size, size: Size) -> NDArray[np.bool_]:
    """An outline in an image of `original` size as a mask (h, w) of `size`."""
    if isinstance(outline, list):
        scale = np.array([size[1] / original[1], size[0] / original[0]])
        polygons = [(np.reshape(p, (-1, 2)) * scale).ravel().tolist() for p in outline]
        return rle.decode(rle.from_polygons(polygons, *size), *size)
    mask: NDArray[np.bool_] = rle.decode(to_rle(outline, *original), *original)
    rows = (np.arange(size[0]) + 0.5) * original[0] / size[0]
    columns = (np.arange(size[1]) + 0.5) * original[1] / size[1]
    found: NDArray[np.bool_] = mask[rows.astype(int)[:, None], columns.astype(int)]
    return found


def _paste(example: Example, other: Example, rng: np.random.Generator) -> Example:
    """Copy a random half of the other sample's objects over this one (Ghiasi et al. 2021).

    Only objects of categories that this image's data set annotates: a pasted object elsewhere
    would be the only annotated one of its kind.
    """
    usable = [
        i
        for i, label in enumerate(other.labels)
        if not other.crowd[i]
        and other.outlined[i]
        and example.exhaustive[label]
        and rng.random() < 0.5
    ]
    if not usable:
        return example
    content = np.zeros(example.masks.shape[1:], dtype=np.bool_)
    content[: example.content[0], : example.content[1]] = True
    pasted = other.masks[usable] & content
    cover: NDArray[np.bool_] = np.logical_or.reduce(pasted, axis=0)
    points = example.keypoints
    if points is not None and other.keypoints is not None:
        points = np.concatenate((hidden_below(points, cover), other.keypoints[usable]))
    return replace(
        example,
        keypoints=points,
        pixels=np.where(cover[:, :, None], other.pixels, example.pixels),
        masks=np.concatenate((example.masks & ~cover, pasted)),
        labels=np.concatenate((example.labels, other.labels[usable])),
        crowd=np.concatenate((example.crowd, other.crowd[usable])),
        outlined=np.concatenate((example.outlined, other.outlined[usable])),
    )


def _recolour(example: Example, rng: np.random.Generator, strength: float) -> NDArray[np.uint8]:
    """Brightness, contrast and saturation; the padding stays zero."""
    brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3)
    h, w = example.content
    x = example.pixels[:h, :w].astype(np.float32)
    grey = x @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    mean = float(grey.mean())
    x = (x * saturation + grey[:, :, None] * (1 - saturation) - mean) * contrast
    pixels = example.pixels.copy()
    pixels[:h, :w] = np.clip((x + mean) * brightness, 0, 255).astype(np.uint8)
    return pixels


def _without_crumbs(example: Example) -> Example:
    """Drop objects that are almost entirely cropped or covered."""
    keep = example.masks.sum(axis=(1, 2)) >= _SMALLEST
    masks = example.masks[keep]
    return replace(
        example,
        masks=masks,
        boxes=boxes_of(masks),
        labels=example.labels[keep],
        crowd=example.crowd[keep],
        outlined=example.outlined[keep],
        keypoints=None if example.keypoints is None else example.keypoints[keep],
    )


def boxes_of(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The tight xyxy boxes (N, 4) of non-empty masks (N, H, W)."""
    boxes = np.zeros((len(masks), 4), dtype=np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes
