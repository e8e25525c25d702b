"""What an image looks like as a whole, in a few numbers, and whether two images look the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segcli.types import View

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRID = (36, 64)
"""Cells (rows, columns) of the luminance grid."""

THRESHOLD = 4.0
"""Grey levels by which the mean of one cell has to change."""

_NOISES = 6.0  # a change is also that many deviations of the noise
_MOST = 2.5  # thresholds that noise can raise the limit to; more is a change of the whole picture
_GAINS = (0.7, 1.4)  # of an exposure step; fog and a covered camera have less contrast
_LEAST_CONTRAST = 1.0  # grey levels; of a flatter grid no gain can be measured
_FIT = 0.8  # share of the cells, those that fit best, from which the exposure is measured
_HASH = (8, 8)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """`grid` f32 GRID: the mean luminance of each cell, 0 to 255."""

    grid: NDArray[np.float32]
    view: View


def look_at(pixels: NDArray[np.uint8]) -> Look:
    """Look at an image, uint8 (h, w, 3) RGB of any size. Releases the GIL for most of the time."""
    import numpy as np
    from PIL import Image

    rows, columns = GRID
    small = Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BOX)
    red, green, blue = np.asarray(small, np.float32).transpose(2, 0, 1)
    grid = 0.299 * red + 0.587 * green + 0.114 * blue
    view = View(
        light=float(grid.mean()),
        contrast=float(grid.std()),
        detail=_detail(pixels),
        hash=_hash(grid),
    )
    return Look(grid, view)


def _detail(pixels: NDArray[np.uint8]) -> float:
    """The mean difference of horizontal neighbours in every fourth row, green, in grey levels."""
    import numpy as np

    green = pixels[::4, :, 1].astype(np.int16)
    return float(np.abs(np.diff(green, axis=1)).mean()) if green.shape[1] > 1 else 0.0


def _hash(grid: NDArray[np.float32]) -> int:
    """64 bits as a signed number: whether each of 8 x 8 places is darker than its right neighbour
    (a difference hash), so exposure does not change it."""
    import numpy as np

    rows, columns = _HASH
    bands = np.array_split(grid, rows, axis=0)
    blocks = [np.array_split(band.mean(0), columns + 1) for band in bands]
    means = np.array([[block.mean() for block in line] for line in blocks])
    bits = np.packbits(means[:, :-1] < means[:, 1:])
    return int(np.frombuffer(bits.tobytes(), ">i8")[0])


def differ(before: Look, now: Look, *, threshold: float = THRESHOLD) -> bool:
    """Whether something has changed between two images of one camera.

    The grids are compared after the exposure, one gain and one offset for the whole picture, has
    been taken out. They differ if one cell differs by more than `threshold` grey levels and by more
    than six deviations of the noise, which is measured on all cells. Noise raises the limit to 2.5
    thresholds at most. A gain outside of 0.7 to 1.4 is a difference, too: fog, or a lamp.
    """
    import numpy as np

    old, new = before.grid.ravel(), now.grid.ravel()
    gain, offset = _exposure(old, new)
    if not _GAINS[0] <= gain <= _GAINS[1]:
        return True
    rest = np.abs(new - (gain * old + offset))
    noise = 1.4826 * float(np.median(rest))
    limit = max(threshold, min(_NOISES * noise, _MOST * threshold))
    return bool(rest.max() > limit)


def _exposure(old: NDArray[np.float32], new: NDArray[np.float32]) -> tuple[float, float]:
    """Gain and offset by least squares, once over all cells and once over those that fit best."""
    import numpy as np

    gain, offset = _line(old, new)
    rest = np.abs(new - (gain * old + offset))
    fitting = rest <= np.quantile(rest, _FIT)
    return _line(old[fitting], new[fitting])


def _line(old: NDArray[np.float32], new: NDArray[np.float32]) -> tuple[float, float]:
    centred = old - old.mean()
    spread = float(centred @ centred)
    flat = spread < _LEAST_CONTRAST**2 * len(old)
    gain = 1.0 if flat else float(centred @ (new - new.mean())) / spread
    return gain, float(new.mean() - gain * old.mean())
