"""Plant objects in a network's outputs, to time post-processing without trained weights.

Networks with random weights find nothing, or noise. Here they run as they are, and then some of
their numbers are replaced, so that they tell of so many round objects, each told by several
neighbouring locations, as trained ones do. All that comes afterwards is the family's own code:
choosing, suppressing, putting masks together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import box_iou

from segcli.types import Batch, Size

AROUND = 9  # locations that tell of one object
STEEP = 6.0  # a mask's logit in the middle of an object; it is 0 at its outline
Replaced = dict[str, Callable[..., Any]]  # by the method's name, after its module's


@dataclass(frozen=True, slots=True)
class Objects:
    """`boxes` (n, 4) xyxy canvas px with ellipses in them, and `labels` (n,)."""

    boxes: Tensor
    labels: Tensor

    @property
    def centres(self) -> Tensor:
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2

    @property
    def sides(self) -> Tensor:
        return self.boxes[:, 2:] - self.boxes[:, :2]

    def logits(self, shape: Sequence[int], stride: tuple[float, float]) -> Tensor:
        """Mask logits (n, h, w) of a map whose cells are (down, across) px apart."""
        y = (torch.arange(shape[0]) + 0.5) * stride[0] - self.centres[:, 1:]
        x = (torch.arange(shape[1]) + 0.5) * stride[1] - self.centres[:, :1]
        down, across = 2 * y / self.sides[:, 1:], 2 * x / self.sides[:, :1]
        return STEEP * (1 - down[:, :, None].square() - across[:, None].square())


def objects_of(content: Size, count: int, classes: int) -> Objects:
    """On a grid of five columns, from a tenth to two thirds of the shorter side, even in the
    logarithm; neighbours have different labels."""
    h, w = content
    random = torch.Generator().manual_seed(0)
    place = torch.arange(count)
    rows = -(-count // 5)
    x, y = (place % 5 + 0.5) * w / 5, (place // 5 + 0.5) * h / rows
    size = 0.1 * min(content) * (2 / 0.3) ** (torch.randperm(count, generator=random) / count)
    tall = 2 ** (torch.rand(count, generator=random) - 0.5)
    half = torch.stack((size / tall, size * tall), 1) / 2
    centre = torch.stack((x, y), 1)
    boxes = torch.cat((centre - half, centre + half), 1)
    limit = torch.tensor([w, h, w, h])
    return Objects(torch.minimum(boxes.clamp(min=0), limit), place % classes)


@contextmanager
def planted(model: Any, batch: Batch, objects: Objects) -> Iterator[None]:
    """The model tells of the objects in the batch's one image, whatever its weights."""
    replaced = _FAMILIES[model.info.family](model, batch, objects)
    places = [(model.get_submodule(n.rpartition(".")[0]), n.rpartition(".")[2]) for n in replaced]
    for (module, name), function in zip(places, replaced.values(), strict=True):
        setattr(module, name, function)
    try:
        yield
    finally:
        for module, name in places:
            delattr(module, name)


def _fcos(dense: Any, points: Any, objects: Objects) -> Tensor:
    """FCOS's maps tell of the objects; returns whose each location is, (L,), -1: nobody's."""
    for logits, centerness in zip(dense.logits, dense.centerness, strict=True):
        logits.fill_(-12)
        centerness.fill_(6)
    owner = torch.full_like(points.level, -1)
    for k, (box, label) in enumerate(zip(objects.boxes, objects.labels.tolist(), strict=True)):
        reach = objects.sides[k].amax() / 2
        fits = (points.reach[:, 0] <= reach) & (reach <= points.reach[:, 1])
        away = (points.xy - objects.centres[k]).square().sum(1)
        away = away.masked_fill(~fits | (owner >= 0), torch.inf)
        for rank, index in enumerate(away.argsort()[:AROUND].tolist()):
            level = int(points.level[index])
            row, column = divmod(index - int(points.first[level]), dense.logits[level].shape[-1])
            sides = torch.cat((points.xy[index] - box[:2], box[2:] - points.xy[index]))
            dense.logits[level][0, label, row, column] = 4 - 0.1 * rank
            dense.distances[level][0, :, row, column] = (sides / points.stride[index]).clamp(0)
            owner[index] = k
    return owner


def nearest(boxes: Tensor, others: Tensor) -> Iterator[Tensor]:
    """For each box the AROUND others (AROUND,) that overlap it most and that none before has."""
    overlap = box_iou(boxes, others)
    for row in overlap:
        index = row.topk(AROUND).indices
        overlap[:, index] = -1
        yield index


def _embedmask(model: Any, batch: Batch, objects: Objects) -> Replaced:
    """Embeddings are places; margins are as wide as the objects."""
    from segcli_embedmask.heads import PIXELS

    dense, pixels, points = model(batch)
    owner = _fcos(dense, points, objects)
    h, w = pixels.shape[-2:]
    pixels.zero_()
    pixels[0, :2] = points.xy[: h * w].T.reshape(2, h, w) / PIXELS
    embedding = torch.zeros(len(objects.labels), pixels.shape[1])
    margin = torch.zeros_like(embedding)
    embedding[:, :2] = objects.centres / PIXELS
    margin[:, :2] = -math.log(model.options.mask_score) / (objects.sides / 2 / PIXELS).square()
    proposals = type(model).proposals

    def said(*where: Tensor) -> tuple[Tensor, Tensor]:
        proposals(model, *where)  # for its time
        return embedding[owner[where[-1]]], margin[owner[where[-1]]]

    return {"forward": lambda batch: (dense, pixels, points), "proposals": said}


def _condinst(model: Any, batch: Batch, objects: Objects) -> Replaced:
    """Kernels that draw a rhombus from the relative positions."""
    raw = model(batch)
    owner = _fcos(raw.dense, raw.points, objects)
    parameters_at = type(model).parameters_at

    def said(*where: Tensor) -> Tensor:
        parameters_at(model, *where)  # for its time
        index = where[-1]
        k = owner[index]
        unit = model.sizes_of_interest[raw.points.level[index]][:, None]
        half = objects.sides[k] / 2
        off = (objects.centres[k] - raw.points.xy[index]) / half  # (n, 2)
        first, bias = torch.zeros(len(k), 8, 10), torch.zeros(len(k), 8)
        for row, (axis, sign) in enumerate(((0, 1), (0, -1), (1, 1), (1, -1))):
            first[:, row, axis] = sign * unit[:, 0] / half[:, axis]
            bias[:, row] = sign * off[:, axis]
        second = torch.eye(8).expand(len(k), 8, 8)
        last = torch.tensor([-STEEP] * 4 + [0.0] * 4).expand(len(k), 8)
        rest = torch.zeros(len(k), 8), torch.full((len(k), 1), STEEP)
        return torch.cat((first.flatten(1), second.flatten(1), last, bias, *rest), 1)

    return {"forward": lambda batch: raw, "parameters_at": said}


def _yolact(model: Any, batch: Batch, objects: Objects) -> Replaced:
    """A prototype for each object."""
    from segcli_yolact.heads import corners, encode

    raw = model(batch)
    h, w = batch.pixels.shape[-2:]
    boxes = objects.boxes / torch.tensor([w, h, w, h])
    raw.logits.zero_()
    raw.logits[..., 0] = 8
    raw.coefficients.zero_()
    raw.prototypes.zero_()
    shape = raw.prototypes.shape[-2:]
    count = len(boxes)
    raw.prototypes[0, :count] = objects.logits(shape, (h / shape[0], w / shape[1]))
    for k, index in enumerate(nearest(boxes, corners(raw.priors))):
        raw.logits[0, index, objects.labels[k] + 1] = 16 - 0.1 * torch.arange(AROUND)
        raw.boxes[0, index] = encode(boxes[k].expand(AROUND, 4), raw.priors[index])
        raw.coefficients[0, index, k] = 1
    return {"forward": lambda batch: raw}


def _solo(model: Any, batch: Batch, objects: Objects) -> Replaced:
    """The cell in an object's middle tells of it; the one beside it too, hardly believed."""
    dense = model(batch)
    height, width = batch.pixels.shape[-2:]
    for logits in dense.categories:
        logits.fill_(-12)
    for name in ("kernels", "features"):
        for values in getattr(dense.masks, name, ()):
            values.zero_()
    size = objects.sides.prod(1).sqrt()
    for k, (x, y) in enumerate(objects.centres.tolist()):
        ranges = model.options.learning.ranges
        level = next(i for i, (_, high) in enumerate(ranges) if size[k] <= high)
        grid = model.head.grids[level]
        row, column = int(y / height * grid), int(x / width * grid)
        for beside, believed in ((0, 4.0), (1, -0.8)):
            cell = (row, min(column + beside, grid - 1))
            dense.categories[level][(0, int(objects.labels[k]), *cell)] = believed
            _draw(dense.masks, level, cell, objects, k)
    return {"forward": lambda batch: dense}


def _draw(masks: Any, level: int, cell: tuple[int, int], objects: Objects, k: int) -> None:
    """Object k as the mask of a cell (row, column), in whichever of SOLO's three ways."""
    from segcli_solo.masks import CELL, Direct, Dynamic

    row, column = cell
    if isinstance(masks, Dynamic):
        masks.features[0, k] = objects.logits(masks.features.shape[-2:], (CELL, CELL))[k]
        masks.kernels[level][0, :, row, column] = 0
        masks.kernels[level][0, k, row, column] = 1
        return
    stride = masks.strides[level]
    maps = masks.logits if isinstance(masks, Direct) else masks.x
    shape = maps[level].shape[-2:]
    drawn = objects.logits(shape, (stride, stride))[k]
    if isinstance(masks, Direct):
        grid = math.isqrt(maps[level].shape[1])
        masks.logits[level][0, row * grid + column] = drawn
        return
    masks.x[level][0, column] = drawn.amax(0).expand(shape)
    masks.y[level][0, row] = drawn.amax(1)[:, None].expand(shape)


def _two_stage(model: Any, batch: Batch, objects: Objects) -> Replaced:
    from scripts.data.planted_two_stage import two_stage

    return two_stage(model, batch, objects)


_FAMILIES: dict[str, Callable[[Any, Batch, Objects], Replaced]] = {
    **dict.fromkeys(("maskrcnn", "maskscoring", "cascade", "panet", "pointrend"), _two_stage),
    "embedmask": _embedmask,
    "condinst": _condinst,
    "yolact": _yolact,
    "solo": _solo,
}


def can_plant(family: str) -> bool:
    return family in _FAMILIES
