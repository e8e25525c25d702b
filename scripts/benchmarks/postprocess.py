"""Masks from a model's grids to COCO RLE at 1920 x 1080: ours against the libraries' way, one core.

100 masks of 28 x 28 over boxes of 25 to 1000 px (Mask R-CNN) against torchvision's paste, fields
that span the frame (138 x 138 prototypes as in YOLACT; 750 x 1333 content as in SOLOv2) against
torch's interpolation, all followed by pycocotools' encode. Processor seconds, median of alternate
runs, so that other work on the machine disturbs little and both alike; the ratios are to be quoted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from pycocotools import mask as coco
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection.roi_heads import paste_masks_in_image

from segcli.masks.sampling import segments
from segcli.types import Instances, Size

FRAME = (1080, 1920)
REPEATS = 5
Run = Callable[[], object]


def main() -> dict[str, float]:
    figures = {}
    for result in measure():
        name = str(result["name"])
        figures[f"{name}, ours, s"] = float(str(result["ours_s"]))
        figures[f"{name}, theirs, s"] = float(str(result["theirs_s"]))
        figures[f"{name}, ratio"] = float(str(result["ratio"]))
    return figures


def measure(*, masks: int = 100, repeats: int = REPEATS) -> list[dict[str, object]]:
    """One result for each kind of field: `ours_s`, `theirs_s` and `ratio`, theirs / ours."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            _compare(f"{masks} RoI masks", *_over_boxes(masks), repeats),
            _compare(f"{masks} prototype masks", *_over_frame(masks, (138, 138)), repeats),
            _compare(f"{masks} content masks", *_over_frame(masks, (750, 1333)), repeats),
        ]
    finally:
        torch.set_num_threads(threads)


def _compare(name: str, instances: Instances, theirs: Run, repeats: int) -> dict[str, object]:
    def ours() -> object:
        return segments(instances, content_size=FRAME, image_size=FRAME)

    ours()  # the first call pays for imports and memory
    fast, slow = [], []
    for _ in range(repeats):
        slow.append(_seconds(theirs))
        fast.extend(_seconds(ours) for _ in range(3))
    ours_s, theirs_s = median(fast), median(slow)
    return {"name": name, "ours_s": ours_s, "theirs_s": theirs_s, "ratio": theirs_s / ours_s}


def _seconds(run: Run) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _over_boxes(masks: int) -> tuple[Instances, Run]:
    """Sides spread evenly in the logarithm, centres over the frame, boxes cut by it."""
    random = torch.Generator().manual_seed(0)
    side = 25 * 40 ** torch.rand(masks, 2, generator=random)
    centre = torch.rand(masks, 2, generator=random) * torch.tensor([FRAME[1], FRAME[0]])
    boxes = torch.cat((centre - side / 2, centre + side / 2), 1)
    boxes[:, 0::2].clamp_(0, FRAME[1])
    boxes[:, 1::2].clamp_(0, FRAME[0])
    fields = _blobs(masks, (28, 28), random, reach=0.45)
    found = Instances(torch.rand(masks), torch.zeros(masks).long(), boxes, fields, boxes)

    def theirs() -> list[bytes]:
        pasted = paste_masks_in_image(fields[:, None], boxes, FRAME)
        return [_encode(mask[0] >= 0.5) for mask in pasted]

    return found, theirs


def _over_frame(masks: int, grid: Size) -> tuple[Instances, Run]:
    """Grids that span the frame; theirs resizes one at a time, which is faster than all at once."""
    fields = _blobs(masks, grid, torch.Generator().manual_seed(1), reach=0.12)
    extents = torch.tensor([[0.0, 0.0, FRAME[1], FRAME[0]]]).repeat(masks, 1)
    found = Instances(
        torch.rand(masks), torch.zeros(masks).long(), None, fields, extents, 0.5, True, "clamp"
    )

    def theirs() -> list[bytes]:
        resized = (
            functional.interpolate(field[None, None], size=FRAME, mode="bilinear")[0, 0]
            for field in fields
        )
        return [_encode(mask > 0.5) for mask in resized]

    return found, theirs


def _blobs(masks: int, grid: Size, random: torch.Generator, reach: float) -> Tensor:
    """Wobbly round probabilities (masks, h, w) with a radius of `reach` times the grid's height."""
    h, w = grid
    y = (torch.arange(h)[:, None] + 0.5) / h - 0.5
    x = (torch.arange(w) + 0.5) / w - 0.5
    fields = torch.empty(masks, h, w)
    for field in fields:
        left, up, size, phase = torch.rand(4, generator=random).tolist()
        away_x, away_y = x - (left - 0.5) * (0.9 - 2 * reach), y - (up - 0.5) * (0.9 - 2 * reach)
        radius = reach * (1 + 0.3 * size * torch.sin(5 * torch.atan2(away_y, away_x) + 6 * phase))
        torch.sigmoid((radius - torch.hypot(away_x, away_y)) * 50, out=field)
    return fields


def _encode(mask: Tensor) -> bytes:
    counts: bytes = coco.encode(np.asfortranarray(mask.numpy().view(np.uint8)))["counts"]
    return counts
