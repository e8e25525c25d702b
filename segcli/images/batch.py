"""How decoded images become one tensor: content size, canvas, padding.

Sizes are pure integer functions of the image's own size, so that an image's canvas, and hence its
result, does not depend on its neighbours. Pixels are resized by torch's uint8 filter, whose result
equals Pillow-SIMD's, and plain Pillow's but for one level of rounding, without copying into a PIL
image and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from segcli.types import Batch, Image, ModelInfo, Resize, Size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def content_size(size: Size, resize: Resize) -> Size:
    """Original (H, W) -> the (h, w) px that it has on the canvas; each at least 1.

    Exact rational arithmetic: 480 scaled by 800/480 is 800, never 799. "round" is half up.
    """
    if resize.mode == "stretch":
        return resize.short, resize.long
    height, width = size
    shorter, longer = min(size), max(size)
    # The scale is over/under: short/min, or long/max where the long side would pass `long`.
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
    """The image with its pixels resized to its content size; `original_size` stays."""
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
        # (1, 3, h, w). Permuted in this order torch sees channels-last memory and answers in it.
        planes = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
        resized = interpolate(
            planes, size=size, mode="bilinear", align_corners=False, antialias=antialias
        )
        rows: NDArray[np.uint8] = resized.permute(0, 2, 3, 1)[0].contiguous().numpy()
    return rows


def collate(images: Sequence[Image], info: ModelInfo, *, locked: bool = False) -> Batch:
    """B images whose pixels have their content size, all of one canvas -> a Batch on the CPU.

    The pixels are uint8 (B, 3, Hc, Wc) in channels-last memory, `locked` to its pages for a copy to
    a GPU without waiting (torch keeps such memory for later batches). Raises ValueError for an
    empty sequence or canvases that differ: grouping is the caller's business.
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
