"""Read HEIC and HEIF, the format of iPhones, with pi-heif (the extra `heif`).

pi-heif is pillow-heif without an encoder. Its wheel bundles libheif and libde265 (LGPL-3.0);
pillow-heif's wheel also bundles the encoder x265, which is under the GPL. pi-heif decodes to NumPy,
so it does not depend on the installed Pillow.
"""

from __future__ import annotations

import numpy as np
from PIL import Image as PilImage

from segcli.images.codecs import opened, to_pil
from segcli.images.headers import Description
from segcli.images.opened import Opened


def open_heif(data: bytes) -> Opened:
    """libheif itself rotates the picture and converts ten bits to eight."""
    import pi_heif

    file = pi_heif.open_heif(data)
    width, height = file.size
    described = Description(
        (height, width),
        depth=8,
        exif=file.info.get("exif") or b"",
        icc=file.info.get("icc_profile") or b"",
        frames=1,  # further images are thumbnails and depth maps, or bursts
    )

    def decode(warnings: list[str]) -> PilImage.Image:
        return to_pil(np.asarray(file), 8, warnings)

    return opened("HEIC", described, decode)
