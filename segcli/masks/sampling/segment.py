"""Convert the instances of one image to segments: masks as RLE, best first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segcli.masks import rle
from segcli.masks.sampling.flips import flips, limits_of
from segcli.masks.sampling.grid import Rule
from segcli.types import Instances, Segment, Size

_OPTIONAL = ("boxes", "mask_scores", "keypoints")


@torch.no_grad()
def segments(instances: Instances, *, content_size: Size, image_size: Size) -> list[Segment]:
    """The segments of an image of `image_size` original px, best first; empty masks are dropped.

    Canvas px are converted to original px by the exact ratio of the two sizes, for each axis
    separately. Boxes are those of the model, clipped to the image, or the tight boxes of the masks
    if the model has none. A mask does not depend on other masks, the number of threads or the
    device.
    """
    return _segments([instances], content_size, image_size)[0]


@torch.no_grad()
def segments_of_batch(
    found: Sequence[Instances], content_sizes: Sequence[Size], image_sizes: Sequence[Size]
) -> list[list[Segment]]:
    """The segments of each image, as from `segments`; images of the same sizes are converted
    together, so that a GPU gets few large pieces of work."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for index, sizes in enumerate(zip(content_sizes, image_sizes, strict=True)):
        one = found[index]
        rule = one.threshold, one.strict, one.outside
        optional = tuple(getattr(one, name) is None for name in _OPTIONAL)
        groups[(*sizes, rule, one.fields.shape[1:], optional)].append(index)
    answers: list[list[Segment]] = [[]] * len(found)
    for (content, image, *_), members in groups.items():
        most = limits_of(found[0].fields.device).cells
        largest = max(found[index].fields.numel() for index in members)
        step = max(1, most // max(1, largest))
        for start in range(0, len(members), step):
            some = members[start : start + step]
            converted = _segments([found[index] for index in some], content, image)
            for index, one_image in zip(some, converted, strict=True):
                answers[index] = one_image
    return answers


def _segments(found: Sequence[Instances], content: Size, image: Size) -> list[list[Segment]]:
    """Of images of the same sizes, whose fields are alike."""
    instances = _joined(found)
    ratio = _ratio(content, image, instances.fields.device)
    runs, lengths, kept = mask_runs(instances, instances.extents.double() * ratio, image)
    if not len(kept):
        return [[] for _ in found]
    texts = rle.compress_many(runs, lengths)
    inside = runs.copy()
    starts = np.cumsum(lengths) - lengths
    odd = (np.arange(len(runs)) - np.repeat(starts, lengths)) % 2 == 1
    inside[~odd] = 0
    areas = np.add.reduceat(inside, starts).tolist()
    score = instances.scores.double().cpu().numpy()[kept]
    label = instances.labels.cpu().numpy()[kept].tolist()
    if instances.boxes is None:
        boxes = rle.runs_to_boxes(runs, lengths, image[0])
    else:
        boxes = _clipped((instances.boxes.double() * ratio).cpu().numpy()[kept], image)
    columns = zip(label, score.tolist(), map(tuple, boxes.tolist()), areas, texts, strict=True)
    made = _with_extras([Segment(*one) for one in columns], instances, kept, ratio)
    ends = np.cumsum([0, *(len(one.scores) for one in found)])
    return [
        [made[a + i] for i in np.argsort(-score[a:b], kind="stable").tolist()]
        for a, b in pairwise(np.searchsorted(kept, ends).tolist())
    ]


def _joined(found: Sequence[Instances]) -> Instances:
    """The instances of all images, one image after another."""
    if len(found) == 1:
        return found[0]
    names = ("scores", "labels", "fields", "extents", *_OPTIONAL)
    columns = {name: [getattr(one, name) for one in found] for name in names}
    joined: dict[str, Any] = {
        name: torch.cat(own) for name, own in columns.items() if own[0] is not None
    }
    return replace(found[0], **joined)


def _with_extras(
    found: list[Segment], instances: Instances, kept: NDArray[np.int64], ratio: Tensor
) -> list[Segment]:
    """With the mask scores and the keypoints of models that have them."""
    if instances.mask_scores is not None:
        rated = instances.mask_scores.double().cpu().numpy()[kept].tolist()
        found = [replace(one, mask_score=own) for one, own in zip(found, rated, strict=True)]
    if instances.keypoints is not None:
        points = instances.keypoints.double().cpu().numpy()[kept]
        points[..., :2] *= ratio[:2].cpu().numpy()
        each = (tuple(map(tuple, own)) for own in points.tolist())
        found = [replace(one, keypoints=own) for one, own in zip(found, each, strict=True)]
    return found


def _ratio(content_size: Size, image_size: Size, device: torch.device) -> Tensor:
    """Original px for one canvas px, float64 (4,), for x, y, x, y."""
    (h, w), (height, width) = content_size, image_size
    return torch.tensor([width / w, height / h] * 2, dtype=torch.float64, device=device)


def mask_runs(
    instances: Instances, extents: Tensor, image_size: Size
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(runs, lengths, kept): the run lengths of all masks that are not empty, one after another,
    how many each has, and which instances they are.

    `extents` are those of the instances in original px, float64; a rectangle without a positive
    area, or with a side that is no number, gives an empty mask. Only flips leave the device.
    """
    usable = torch.isfinite(extents).all(1)
    usable &= (extents[:, 2] > extents[:, 0]) & (extents[:, 3] > extents[:, 1])
    index = torch.nonzero(usable).view(-1)
    fields = instances.fields.float()
    if len(index) < len(usable):
        fields, extents = fields[index], extents[index]
    rule = Rule.of(instances.threshold, instances.strict, instances.outside)
    found = flips(fields, extents, image_size, rule, limits_of(fields.device)).cpu().numpy()
    runs, lengths, which = _runs(found, len(index), image_size[0] * image_size[1])
    return runs, lengths, index.cpu().numpy()[which]


def _runs(
    flips: NDArray[np.int64], masks: int, pixels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Run lengths from ascending flips, see `flips.flips`; (runs, lengths, masks not empty)."""
    origins = np.arange(masks + 1) * (pixels + 1)
    bounds = np.searchsorted(flips, origins)
    counts = np.diff(bounds)
    kept = np.flatnonzero(counts)
    counts, origins = counts[kept], origins[kept]
    # A flip after the last pixel only says that the mask reaches it: the end is written anyway.
    at_end = flips[bounds[kept + 1] - 1] == origins + pixels
    flips = np.delete(flips, bounds[kept + 1][at_end] - 1)
    counts = counts - at_end
    stops = np.cumsum(counts)
    # origin, flips, end of each mask: their differences are its runs.
    edges = np.insert(flips, stops, origins + pixels)
    lengths = counts + 1
    ends = np.cumsum(lengths)
    runs = np.empty_like(edges)
    runs[1:] = np.diff(edges)
    starts = ends - lengths
    runs[starts] = edges[starts] - origins
    return runs, lengths, kept


def _clipped(boxes: NDArray[np.float64], image_size: Size) -> NDArray[np.float64]:
    """xyxy to xywh px within the image; not a number becomes 0."""
    height, width = image_size
    limits = np.array([width, height, width, height], np.float64)
    clipped = np.clip(np.nan_to_num(boxes), 0.0, limits)
    clipped[:, 2:] = np.maximum(clipped[:, 2:] - clipped[:, :2], 0.0)
    return clipped
