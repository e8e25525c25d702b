"""Predict annotated images with a model in training, as COCO results for the evaluator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from segcli.errors import ImageError, UsageError
from segcli.images import decode
from segcli.images.batch import collate, fit
from segcli.masks.sampling import segments
from segcli.models.device import autocast
from segcli.plugin import Segmenter
from segcli.train.data import image_path, read_annotations
from segcli.types import Segment

MIN_SCORE = 0.05
MAX_MASKS = 100


def coco_results(
    model: Segmenter, images: Path, annotations: Path, *, device: torch.device, precision: str
) -> Iterator[dict[str, Any]]:
    """One COCO result (image_id, category_id, segmentation, bbox, score, mask_score, keypoints if
    the model finds them) per detection.

    The model is put into eval mode and left there. Raises UsageError for an unreadable image.
    """
    model.eval()
    info = model.info
    truth = read_annotations(annotations)
    for number, name in zip(truth.image_ids.tolist(), truth.names, strict=True):
        path = image_path(images, name, annotations)
        try:
            image = fit(decode(path.read_bytes(), key=path.name), info)
        except (ImageError, OSError) as error:
            raise UsageError(f"{path} cannot be validated on: {error}") from error
        batch = collate([image], info)
        with torch.inference_mode(), autocast(device, precision):
            found = model.predict(batch, min_score=MIN_SCORE, max_masks=MAX_MASKS)[0]
        height, width = image.original_size
        for segment in segments(
            found, content_size=batch.content_sizes[0], image_size=image.original_size
        ):
            yield {
                "image_id": number,
                "category_id": info.category_ids[segment.label],
                "segmentation": {"size": [height, width], "counts": segment.rle.decode("ascii")},
                "bbox": list(segment.box),
                "score": segment.score,
                "mask_score": segment.mask_score,
                **_keypoints(segment),
            }


def _keypoints(segment: Segment) -> dict[str, Any]:
    if segment.keypoints is None:
        return {}
    return {"keypoints": [value for point in segment.keypoints for value in point]}
