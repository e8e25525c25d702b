"""Mirror images, and mirror the instances found in them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from segcli.keypoints import mirrored_order
from segcli.types import Batch, Instances

if TYPE_CHECKING:
    from torch import Tensor


def mirrored(batch: Batch) -> Batch:
    """The batch with the content of each image turned from left to right; padding stays."""
    pixels = batch.pixels.clone()
    for image, (height, width) in zip(pixels, batch.content_sizes, strict=True):
        image[:, :height, :width] = image[:, :height, :width].flip(-1)
    return replace(batch, pixels=pixels)


def turned_back(
    instances: Instances, width: int, keypoints: Sequence[str] | None = None
) -> Instances:
    """What was found in a mirrored image whose content is `width` px wide, as if it had not been
    mirrored; exact, because fields are sampled symmetrically. `keypoints`: their names, because
    left and right change places."""

    def turned(boxes: Tensor) -> Tensor:
        found = boxes.clone()
        found[:, 0], found[:, 2] = width - boxes[:, 2], width - boxes[:, 0]
        return found

    points = instances.keypoints
    if points is not None and keypoints is not None:
        points = points[:, mirrored_order(keypoints)].clone()
        points[..., 0] = width - points[..., 0]
    return replace(
        instances,
        keypoints=points,
        boxes=None if instances.boxes is None else turned(instances.boxes),
        fields=instances.fields.flip(-1),
        extents=turned(instances.extents),
    )
