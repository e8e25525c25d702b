"""Targets that are rectangles, and a batch whose canvas is larger than its content."""

import torch

from segcli.types import Batch, Targets


def targets(*boxes, labels, crowd=None, exhaustive=None, side):
    """Whole-pixel xyxy boxes on a canvas of `side` px."""
    masks = torch.zeros(len(boxes), side, side, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return Targets(
        torch.tensor(labels), torch.tensor(boxes, dtype=torch.float32), masks,
        torch.tensor(crowd or [False] * len(boxes)), exhaustive,
    )  # fmt: skip


def padded_batch() -> Batch:
    """One image of noise, 96 x 128 px on a canvas of 128 x 128."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8, generator=generator)
    pixels[:, :, 96:] = 0
    return Batch(("a",), pixels, ((96, 128),), ((96, 128),))
