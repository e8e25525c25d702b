"""Error messages about ground truth and predictions that do not match."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segcli.annotations.ground_truth import GroundTruth
from segcli.errors import UsageError
from segcli.evaluate.predictions import Rows

SHOWN = 5
"""Names that a message shows before it only counts."""


def require_alike(
    truth: GroundTruth,
    rows: Rows,
    row: NDArray[np.int64],
    differing: NDArray[np.int64],
    *,
    rescale: bool,
) -> None:
    own, wanted = rows.sizes[row[differing]], truth.sizes[differing]
    turned = (own == wanted[:, ::-1]).all(1)
    if rescale and not turned.any():
        return
    at = int(np.flatnonzero(turned)[0]) if turned.any() else 0
    name = called(truth, int(differing[at]))
    sizes = f"{name} is {_by(wanted[at])} in the ground truth and {_by(own[at])} in {rows.where}"
    count = f"{len(differing)} images differ in size: " if len(differing) > 1 else ""
    if turned.any():
        raise UsageError(
            f"{count}{sizes}: height and width are swapped, as when the annotations were made "
            "without the EXIF rotation of the image; rotate these annotations, --rescale cannot"
        )
    raise UsageError(
        f"{count}{sizes}; were resized copies predicted or annotated? Give --rescale to stretch "
        "the predicted masks to the size of the ground truth"
    )


def _by(size: NDArray[np.int64]) -> str:
    return f"{size[0]} x {size[1]} px"


def called(truth: GroundTruth, index: int) -> str:
    return truth.names[index] or f"image {truth.image_ids[index]}"


def nothing_in_common(truth: GroundTruth, rows: Rows) -> str:
    return (
        f"no image of {truth.where} is in {rows.where}: the ground truth has names such as "
        f"{called(truth, 0)!r}, the output such as {rows.keys[0]!r}; expected the same relative "
        "paths, or file names that occur once"
    )


def never_predicted(never: Sequence[str], ambiguous: Sequence[str], total: int, where: str) -> str:
    shown = ", ".join(never[:SHOWN]) + (", ..." if len(never) > SHOWN else "")
    told = f"{len(never)} of {total} images of the ground truth are not in {where}: {shown}"
    if ambiguous:
        told += (
            f" (of these {len(ambiguous)} have a file name of several images: "
            f"{', '.join(ambiguous[:SHOWN])}; use relative paths)"
        )
    return (
        f"{told}; predict them, or use --missing ignore to leave them out, --missing count to "
        "count all their objects as missed"
    )
