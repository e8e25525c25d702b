"""Suppress or merge segments of one image that show the same object, by mask IoU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from segcli.masks import rle
from segcli.types import Segment, Size


def mask_ious(
    first: Sequence[Segment], second: Sequence[Segment], image_size: Size
) -> NDArray[np.float64]:
    """(N, M): the IoU of each mask of `first` with each of `second`, computed on their runs."""
    return rle.ious([s.rle for s in first], [s.rle for s in second], image_size)


def suppress(
    segments: Sequence[Segment], image_size: Size, *, iou: float, across_labels: bool
) -> list[Segment]:
    """The segments that overlap no better one by more than `iou`; input and output best first.

    Only segments of one label suppress each other, all of them with `across_labels`.
    """
    overlap = mask_ious(segments, segments, image_size) > iou
    if not across_labels:
        labels = np.array([segment.label for segment in segments])
        overlap &= labels[:, None] == labels[None, :]
    kept: list[int] = []
    for index in range(len(segments)):
        if not overlap[index, kept].any():
            kept.append(index)
    return [segments[index] for index in kept]


def merge_views(
    first: Sequence[Segment], second: Sequence[Segment], image_size: Size, *, iou: float
) -> list[Segment]:
    """Merge the segments of two views of an image, best first.

    Two segments of one label whose masks overlap by more than `iou` are one object: the better one
    is kept, with the mean of both scores. A segment of only one view keeps half of its score, the
    mean with 0. The same holds for mask scores. Pairs are formed in the order of their IoU.
    """
    overlap = mask_ious(first, second, image_size)
    same = np.array([[a.label == b.label for b in second] for a in first], bool)
    overlap = np.where(same.reshape(overlap.shape), overlap, 0.0)
    merged: list[Segment] = []
    left, right = set(range(len(first))), set(range(len(second)))
    for place in np.argsort(-overlap, axis=None, kind="stable"):
        a, b = (int(axis) for axis in np.unravel_index(place, overlap.shape))
        if overlap[a, b] <= iou:
            break
        if a in left and b in right:
            left.remove(a)
            right.remove(b)
            one, other = first[a], second[b]
            better = one if one.score >= other.score else other
            merged.append(_rated(better, one, other))
    alone = [first[a] for a in sorted(left)] + [second[b] for b in sorted(right)]
    merged += [_rated(segment, segment) for segment in alone]
    return sorted(merged, key=lambda segment: -segment.score)


def _rated(segment: Segment, *seen: Segment) -> Segment:
    """With half the sum of the scores of those seen."""
    rated = [one.mask_score for one in seen if one.mask_score is not None]
    return replace(
        segment,
        score=sum(one.score for one in seen) / 2,
        mask_score=sum(rated) / 2 if rated else None,
    )
