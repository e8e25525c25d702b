"""Keypoints of a training sample through resizing, flipping, cropping and pasting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segcli.keypoints import mirrored_order
from segcli.train.data import AnnotatedImage
from segcli.types import Size

Points = NDArray[np.float32]
"""(N, P, 3): x, y px and v (0: not annotated, 1: hidden, 2: visible)."""


def placed_keypoints(row: AnnotatedImage, size: Size) -> Points | None:
    """Those of an image that is resized to `size`; None if the model finds none."""
    if row.keypoints is None:
        return None
    found = np.zeros((len(row.annotations), len(row.keypoints), 3), np.float32)
    for points, annotation in zip(found, row.annotations, strict=True):
        if annotation.keypoints is not None:
            points[:] = annotation.keypoints
    found[..., 0] *= size[1] / row.size[1]
    found[..., 1] *= size[0] / row.size[0]
    return found


def flipped_keypoints(points: Points, names: Sequence[str], width: int) -> Points:
    """Those of an image `width` px wide that is flipped: left and right change places."""
    found = points[:, mirrored_order(names)]
    found[..., 0] = width - found[..., 0]
    return found


def in_window(points: Points, corner: tuple[int, int], window: Size) -> Points:
    """Those in a window (h, w) whose first pixel is `corner` (y, x); others are not annotated."""
    found = points.copy()
    found[..., 0] -= corner[1]
    found[..., 1] -= corner[0]
    inside = (found[..., :2] >= 0).all(-1)
    inside &= (found[..., 0] <= window[1]) & (found[..., 1] <= window[0])
    found[~inside] = 0
    return found


def hidden_below(points: Points, cover: NDArray[np.bool_]) -> Points:
    """Visible keypoints that are covered, bool (H, W), become hidden ones."""
    found = points.copy()
    h, w = cover.shape
    x, y = (found[..., axis].astype(int).clip(0, side - 1) for axis, side in ((0, w), (1, h)))
    found[..., 2] = np.where(cover[y, x], np.minimum(found[..., 2], 1), found[..., 2])
    return found
