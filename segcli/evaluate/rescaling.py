"""Masks of images whose size in the run differs from that in the ground truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segcli.masks import rle
from segcli.masks.batch import Masks


def rescaled(
    masks: Masks, own: NDArray[np.int64], wanted: NDArray[np.int64], which: NDArray[np.int64]
) -> Masks:
    """Each pixel of the wanted size takes the one that lies under its centre."""
    texts = masks.texts()
    for i in which.tolist():
        (tall, wide), (height, width) = own[i].tolist(), wanted[i].tolist()
        mask = rle.decode(texts[i], tall, wide)
        down = ((np.arange(height) + 0.5) * tall / height).astype(np.int64)
        across = ((np.arange(width) + 0.5) * wide / width).astype(np.int64)
        texts[i] = rle.encode(mask[down][:, across])
    return Masks.of(texts)
