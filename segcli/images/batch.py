"""Combine decoded images into one tensor: content size, canvas, padding.

Sizes are integer functions of the image's own size, so the canvas of an image, and hence its
result, does not depend on other images. Pixels are resized by torch's uint8 filter, without a copy
to a PIL image and back. Its results are equal to Pillow-SIMD's and differ from plain Pillow's by at
most one level of rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from segcli.types import Batch, Image, ModelInfo, Resize, Size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def content_size(size: Size, resize: Resize) -> Size:
    """The content size (h, w) in px of an original (H, W); each side is at least 1.

    Exact rational arithmetic: 480 scaled by 800/480 is 800, never 799. "round" is half up.
    """
    if resize.mode == "stretch":
        return resize.short, resize.long
    height, width = size
    shorter, longer = min(size), max(size)
    # The scale is over/under: short/min, or long/max if the long side would exceed `long`.
    over, under = resize.short, shorter
    if over * longer > resize.long * under:
        over, under = resize.long, longer
    return _scale(height, over, under, resize), _scale(width, over, under, resize)


def _scale(side: int, over: int, under: int, resize: Resize) -> int:
    if resize.rounding == "floor":
        return max(1, side * over // under)
    return max(1, (2 * side * over + under) // (2 * under))


def canvas_size(content: Size, stride: int) -> Size:
    """Content (h, w) -> (Hc, Wc): each side rounded up to a multiple of `stride`."""
    return -(-content[0] // stride) * stride, -(-content[1] // stride) * stride


def fit(image: Image, info: ModelInfo) -> Image:
    """The image with its pixels resized to its content size; `original_size` is unchanged."""
    height, width = content_size(image.original_size, info.resize)
    if image.pixels.shape[:2] == (height, width):
        return image
    pixels = _resize(image.pixels, (height, width), antialias=info.resize.antialias)
    return Image(image.key, pixels, image.original_size, image.warnings)


def _resize(pixels: NDArray[np.uint8], size: Size, *, antialias: bool) -> NDArray[np.uint8]:
    """uint8 (h, w, 3) -> uint8 (*size, 3), bilinear, half-pixel centres. Releases the GIL."""
    import torch
    from torch.nn.functional import interpolate

    with torch.inference_mode():
        # (1, 3, h, w). Permuted like this, torch keeps channels-last memory for the result, too.
        planes = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
        resized = interpolate(
            planes, size=size, mode="bilinear", align_corners=False, antialias=antialias
        )
        rows: NDArray[np.uint8] = resized.permute(0, 2, 3, 1)[0].contiguous().numpy()
    return rows


def collate(images: Sequence[Image], info: ModelInfo, *, locked: bool = False) -> Batch:
    """Combine B images, resized to their content size and of one canvas, into a Batch on the CPU.

    The pixels are uint8 (B, 3, Hc, Wc) in channels-last memory. `locked`: in page-locked memory,
    for an asynchronous copy to a GPU (torch keeps such memory for later batches). Raises ValueError
    for an empty sequence or different canvases.
    """
    import torch

    contents = tuple((im.pixels.shape[0], im.pixels.shape[1]) for im in images)
    canvases = {canvas_size(content, info.stride) for content in contents}
    if len(canvases) != 1:
        raise ValueError(f"expected images of one canvas, got {sorted(canvases)} px")
    height, width = canvases.pop()
    padded = any(content != (height, width) for content in contents)
    make = torch.zeros if padded else torch.empty
    pixels = make((len(images), height, width, 3), dtype=torch.uint8, pin_memory=locked)
    for row, image in zip(pixels, images, strict=True):
        h, w = image.pixels.shape[:2]
        row[:h, :w] = torch.from_numpy(image.pixels)
    return Batch(
        keys=tuple(image.key for image in images),
        pixels=pixels.permute(0, 3, 1, 2),
        content_sizes=contents,
        image_sizes=tuple(image.original_size for image in images),
    )
