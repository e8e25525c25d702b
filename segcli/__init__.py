"""Batch instance segmentation of large image archives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from segcli.api import Masks, Model, Result, Summary, Table, load, predict, read

__all__ = [
    "Masks",
    "Model",
    "Result",
    "Summary",
    "Table",
    "decode",
    "load",
    "predict",
    "read",
]

__version__ = "0.1.0"


def decode(rle: bytes, height: float, width: float) -> NDArray[np.bool_]:
    """Decode a mask: a boolean array (height, width) from the columns of a row of the output.

    `height` and `width` may be floats with whole values, which pandas uses for columns that contain
    null. Raises UsageError if `rle` is damaged or the mask has another size.
    """
    from segcli.errors import UsageError
    from segcli.masks import rle as runs  # keeps `import segcli` free of numpy and pycocotools

    if height % 1 or width % 1:  # NaN too
        raise UsageError(f"a mask cannot be {height} x {width} px; expected whole numbers")
    return runs.decode(rle, int(height), int(width))


def __getattr__(name: str) -> Any:
    """The names of segcli.api, whose imports are heavy."""
    if name in __all__:
        from segcli import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
