"""Batch instance segmentation of large image archives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__version__ = "0.1.0"


def decode(rle: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """The mask in a row of the output as booleans (height, width), from its columns of that name.

    Raises UsageError when `rle` is damaged or the mask of another size.
    """
    from segcli import rle as runs  # keeps `import segcli` free of numpy and pycocotools

    return runs.decode(rle, height, width)
