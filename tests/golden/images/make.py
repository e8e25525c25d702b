"""Writes phone.heic and turned.avif; needs pillow-heif and a Pillow with AVIF, which tests do not.

phone.heic: 64 x 48 px, four quarters of red, green, blue and white, as HEVC, with EXIF that names a
camera. turned.avif: the same, stored a quarter turn to the left (`irot`).
"""

from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

HERE = Path(__file__).parent


def quarters() -> Image.Image:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32, 0] = pixels[:24, 32:, 1] = pixels[24:, :32, 2] = 255
    pixels[24:, 32:] = 255
    return Image.fromarray(pixels)


if __name__ == "__main__":
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0132] = "Maker", "Phone 1", "2024:05:06 07:08:09"
    quarters().save(HERE / "phone.heic", exif=exif.tobytes(), quality=90)
    turned = Image.Exif()
    turned[0x0112] = 6
    stored = quarters().transpose(Image.Transpose.ROTATE_90)
    stored.save(HERE / "turned.avif", exif=turned.tobytes(), quality=95)
