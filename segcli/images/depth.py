"""Convert samples of more than eight bits to eight bits by the range that they use.

Images of 10, 12 or 14-bit cameras are often stored in 16-bit files that do not state this depth;
they look nearly black if white is 65,535. So white is the largest value of the smallest usual depth
that holds every value of the image, unless the file states its depth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEPTHS = (8, 10, 12, 14, 16)
"""The usual depths of sensors and files in bits."""


def used_depth(largest: int) -> int:
    """The smallest of DEPTHS that holds a value of 0..65535."""
    return next(depth for depth in DEPTHS if largest < 1 << depth)


def eight_bits(values: NDArray[np.uint16], depth: int) -> NDArray[np.uint8]:
    """uint16 of any shape -> uint8, round(v * 255 / (2**depth - 1)); larger values are white."""
    white = (1 << depth) - 1
    scaled = (np.arange(white + 1, dtype=np.uint32) * 255 + white // 2) // white
    table = np.full(65536, 255, np.uint8)  # a table lookup needs no float image
    table[: white + 1] = scaled
    small: NDArray[np.uint8] = table[values]
    return small


def shallow(
    values: NDArray[np.uint16], warnings: list[str], *, depth: int | None = None
) -> NDArray[np.uint8]:
    """Convert to eight bits by the `depth` that the file states.

    None and 16 are replaced by the depth that the values use, with a warning.
    """
    if depth is None or depth >= 16:
        largest = int(values.max(initial=0))
        depth = used_depth(largest)
        if depth < 16 and largest:
            warnings.append(f"few bits: {depth}-bit values in a 16-bit image, scaled by that range")
    return eight_bits(values, depth)
