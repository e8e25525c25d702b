"""Draw what PointRend's point head changes: python -m scripts.figures.pointrend --heads FILE.pt.

Writes docs/methods/pointrend.jpg: people on two photographs, each with the outline of the coarse
mask, the points that are asked for, and the outline of the result. FILE.pt holds heads that
scripts.studies.heads_at_equal_budget has trained on the first stage of the shipped model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from scripts.studies.heads_at_equal_budget.arms import build
from segcli.images.batch import collate, fit
from segcli.types import Image
from segcli_blocks.rcnn.mask_head import at_class
from segcli_blocks.segmenter import Selection
from segcli_pointrend.points import grid

OUT = Path(__file__).resolve().parents[2] / "docs/methods/pointrend.jpg"
PHOTOGRAPHS = ("astronaut", "camera")
COLOURS = ("#2060ff", "#ff9d00", "#ff2d55")  # of the points of the three steps


@dataclass(frozen=True, slots=True)
class Refined:
    """One object of a photograph: `box` xyxy px, masks (s, s) of 0..1, and the points (P, 2) of
    each step, relative to the box, with the side of the mask that they are for."""

    photo: NDArray[np.uint8]
    box: NDArray[np.float32]
    coarse: Tensor
    fine: Tensor
    points: list[tuple[int, Tensor]]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.figures.pointrend")
    parser.add_argument("--heads", type=Path, required=True, help="FOLDER/heads-0.pt of the study")
    options = parser.parse_args(arguments)
    model: Any = build(0, ("maskrcnn", "pointrend"))["pointrend"].eval()
    model.roi_heads.load_state_dict(torch.load(options.heads, weights_only=True)["pointrend"])
    draw([refined(model, photograph(name)) for name in PHOTOGRAPHS])
    print(f"figures: {OUT.name}, {OUT.stat().st_size / 1e3:.0f} kB")
    return 0


def photograph(name: str) -> NDArray[np.uint8]:
    from skimage import color, data

    pixels = getattr(data, name)()
    found: NDArray[np.uint8] = pixels if pixels.ndim == 3 else color.gray2rgb(pixels)
    return found


@torch.inference_mode()
def refined(model: Any, photo: NDArray[np.uint8]) -> Refined:
    """The person that the box head is surest of, and how its mask is made."""
    image = fit(Image("photograph", photo, (photo.shape[0], photo.shape[1])), model.info)
    batch, heads = collate([image], model.info), model.roi_heads
    maps, scored = model.first_stage(batch)
    proposals = model.rpn.propose(scored, batch.content_sizes)
    person = Selection(0.05, 1, frozenset({0}))
    (found,) = heads.detect(maps, proposals, batch.content_sizes, person)
    finest, boxes, of = maps[0], [found.boxes], found.labels
    coarse = heads.coarse(finest, boxes)
    side, steps = heads.sampling.start(coarse.shape[-1])
    points = grid(side, finest.device)[None]
    logits = heads.at_points(finest, boxes, coarse, points, of).unflatten(1, (side, side))
    asked = [(side, points[0])]
    for _ in range(steps):
        logits, points, chosen = heads.doubled(logits)
        values = heads.at_points(finest, boxes, coarse, points, of)
        logits = logits.flatten(1).scatter(1, chosen, values).view_as(logits)
        asked.append((logits.shape[-1], points[0]))
    content = batch.content_sizes[0]
    scale = np.array([photo.shape[1] / content[1], photo.shape[0] / content[0]] * 2, np.float32)
    before = at_class(coarse, of, agnostic=True)[0]
    box = found.boxes[0].numpy() * scale
    return Refined(photo, box, before.sigmoid(), logits[0].sigmoid(), asked)


def draw(objects: Sequence[Refined]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.9 * len(objects)), layout="constrained")
    axes = figure.subplots(len(objects), 3, squeeze=False)
    for row, one in zip(axes, objects, strict=True):
        for place, title in zip(
            row,
            (
                f"before: the coarse mask, {one.coarse.shape[-1]} x {one.coarse.shape[-1]} cells",
                "points asked for, at " + ", ".join(str(side) for side, _ in one.points[1:]),
                f"after: {one.fine.shape[-1]} x {one.fine.shape[-1]} cells",
            ),
            strict=True,
        ):
            _background(place, one, title)
        _outline(row[0], one.coarse, one.box)
        _outline(row[2], one.fine, one.box)
        low, size = one.box[:2], one.box[2:] - one.box[:2]
        for colour, (_, points) in zip(COLOURS, one.points[1:], strict=True):
            at = low + points.numpy() * size
            row[1].scatter(at[:, 0], at[:, 1], s=1.2, c=colour, linewidths=0)
    figure.savefig(OUT, dpi=100, pil_kwargs={"quality": 75, "optimize": True})


def _background(axes: Any, one: Refined, title: str) -> None:
    """The photograph around the box."""
    height, width = one.photo.shape[:2]
    x0, y0, x1, y1 = one.box.tolist()
    rim = 0.06 * max(x1 - x0, y1 - y0)
    axes.imshow(one.photo, extent=(0, width, height, 0))
    axes.set_xlim(max(0, x0 - rim), min(width, x1 + rim))
    axes.set_ylim(min(height, y1 + rim), max(0, y0 - rim))
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()


def _outline(axes: Any, mask: Tensor, box: NDArray[np.float32]) -> None:
    """Where the mask crosses 1/2; it falls to zero over half a cell beyond its box."""
    side = mask.shape[-1]
    finer = max(1, 224 // side)
    wide = F.interpolate(F.pad(mask, (1, 1, 1, 1))[None, None], scale_factor=finer, mode="bilinear")
    cells = (np.arange(wide.shape[-1]) + 0.5) / finer - 1  # in cells of the mask
    size = (box[2:] - box[:2]) / side
    x, y = box[0] + cells * size[0], box[1] + cells * size[1]
    axes.contour(x, y, wide[0, 0].numpy(), levels=[0.5], colors=["#ff2d55"], linewidths=1.6)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
