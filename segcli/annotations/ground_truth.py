"""Annotated images as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.annotations.outlines import Outline
from segcli.keypoints import Skeleton


def _nothing() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Federated:
    """What LVIS adds per image: categories known to be absent, and those not fully annotated."""

    absent: tuple[list[int | str], ...]
    not_exhaustive: tuple[list[int | str], ...]
    frequency: tuple[str, ...]  # per category: r, c, f


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """I images and C categories, each ascending by id, and N objects in the order of the file.

    `listed` are the indices of the images in the order of the file. `image_ids` and `category_ids`
    are int64, or objects where some ids are texts. `names` are file names ("" where the file has
    none), `sizes` (I, 2) px (0 where only boxes are compared and the file does not say). Of the
    objects: `image` and `category` are indices, `areas` px, `boxes` (N, 4) xywh px, `crowd` regions
    that are neither right nor wrong, `outlines` the masks (empty when only boxes are compared; None
    for an object without one where masks are optional), `keypoints` (P, 3) x, y px and v of each
    (None: it has none; empty unless keypoints are compared, or by a lenient reader), of which
    `keypoint_counts` are annotated. `skeletons` are the keypoints of the categories. `notes` are
    sentences on what was tolerated, with counts. `merged_ids`: the ids of categories that were
    merged with another one, and the id that they have now. `annotations` are the objects as the
    file has them, for lenient readers only.
    """

    where: str
    image_ids: NDArray[Any]
    names: tuple[str, ...]
    sizes: NDArray[np.int64]
    listed: NDArray[np.int64]
    category_ids: NDArray[Any]
    category_names: tuple[str, ...]
    ids: NDArray[Any]
    image: NDArray[np.int64]
    category: NDArray[np.int64]
    areas: NDArray[np.float64]
    boxes: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    outlines: list[Outline | None] = field(repr=False)
    keypoints: Sequence[NDArray[np.float64] | None] = field(default=(), repr=False)
    keypoint_counts: NDArray[np.int64] = field(default_factory=_nothing, repr=False)
    skeletons: Sequence[Skeleton | None] = ()
    federated: Federated | None = None
    notes: tuple[str, ...] = ()
    merged_ids: Mapping[int | str, int | str] = field(default_factory=dict)
    annotations: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
