"""Encoded pictures made on the spot."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as PilImage


@pytest.fixture(scope="session")
def photograph() -> PilImage.Image:
    """A real photograph, 256 x 200, RGB."""
    from skimage.data import chelsea

    return PilImage.fromarray(chelsea()).resize((256, 200))


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """encode(image or array, "PNG", **options) -> bytes"""

    def encoded(image: PilImage.Image | np.ndarray, kind: str, **options: object) -> bytes:
        picture = image if isinstance(image, PilImage.Image) else PilImage.fromarray(image)
        file = io.BytesIO()
        picture.save(file, kind, **options)
        return file.getvalue()

    return encoded
