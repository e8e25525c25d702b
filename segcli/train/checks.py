"""Checks before a training starts: sizes of images, and whether there is any object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segcli.annotations.coco import read_coco
from segcli.errors import ImageError, UsageError
from segcli.evaluate.keypoints import annotated
from segcli.images.probe import Header, probe
from segcli.plurals import counted
from segcli.train.data import AnnotatedImage, DataSet, read_dataset
from segcli.train.sources import Validation

_HEAD = 1 << 16  # bytes that nearly always hold an image's header


def check_sizes(rows: Sequence[AnnotatedImage], *, rescale: bool) -> int:
    """The number of images whose size differs from their annotations; 0 unless `rescale`.

    Raises UsageError for the first of them, and for an image whose annotations were made without
    its EXIF rotation.
    """
    count = 0
    for row in rows:
        header = _header(row.path)
        if (header.height, header.width) == row.size:
            continue
        _explain(row, header, rescale=rescale)
        count += 1
    return count


def _explain(row: AnnotatedImage, header: Header, *, rescale: bool) -> None:
    height, width = row.size
    given = (
        f"{row.path} is {header.width} x {header.height} px, but its annotations are for "
        f"{width} x {height}"
    )
    if header.turned and (header.width, header.height) == row.size:
        raise UsageError(
            f"{given}: its EXIF orientation rotates it, and the annotations are for the image as "
            "it is stored; rotate them, or remove the orientation from the file"
        )
    if not rescale:
        raise UsageError(
            f"{given}; with --rescale they are stretched to the image, which is right if "
            "a smaller copy of it was annotated"
        )


def _header(path: Path) -> Header:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            try:
                return probe(head, key=path.name)
            except ImageError:  # a longer header, or not an image
                return probe(head + file.read(), key=path.name)
    except (ImageError, OSError) as error:
        raise UsageError(f"{path} cannot be trained on: {error}") from error


def check_validation(
    validation: Validation, categories: Sequence[str], *, iou: str = "segm"
) -> None:
    """Raises UsageError before the training for data that would make validation fail.

    `iou`: what is compared, "segm" or "keypoints".
    """
    known = validation.categories
    wanted = [name for name in categories if known is None or name in known]
    truth = read_coco(validation.annotations, iou=iou)
    if iou == "keypoints":
        annotated(truth, np.arange(len(truth.category_ids)))
    rows = read_dataset(DataSet(validation.images, validation.annotations), wanted)
    check_objects(rows, wanted)
    check_sizes(rows, rescale=False)


def check_objects(rows: Sequence[AnnotatedImage], categories: Sequence[str]) -> list[str]:
    """The categories without any object. Raises UsageError if there is no object at all."""
    if not rows:
        raise UsageError("the annotations have no image")
    objects = [a for row in rows for a in row.annotations]
    known = {a.label for a in objects if not a.crowd}
    if not known:
        crowd = f"; {len(objects)} are regions to ignore (iscrowd)" if objects else ""
        raise UsageError(
            f"no object of {', '.join(categories)} to train on in {counted(len(rows), 'image')}"
            f"{crowd}"
        )
    return [name for label, name in enumerate(categories) if label not in known]


def check_keypoints(rows: Sequence[AnnotatedImage]) -> None:
    """Raises UsageError if no object has an annotated keypoint."""
    known = (a.keypoints for row in rows for a in row.annotations if a.keypoints is not None)
    if not any(points[:, 2].any() for points in known):
        raise UsageError(
            'no object has keypoints to train on; expected "keypoints" in the annotations, and '
            "their names in the categories"
        )
