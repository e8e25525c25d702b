"""Every mode becomes the RGB that a person would expect."""

import io

import numpy as np
import pytest
from PIL import Image as PilImage

from segcli.images import decode
from segcli.images.rgb import to_rgb


def grey(data: bytes) -> list[int]:
    """The first row, after a check that it is grey."""
    pixels = decode(data, key="x").pixels
    assert (pixels == pixels[..., :1]).all()
    return pixels[0, :, 0].tolist()


def colours(image: PilImage.Image) -> list[list[int]]:
    return np.asarray(to_rgb(image))[0].tolist()


def test_one_bit(encode) -> None:
    assert grey(encode(np.array([[False, True]]), "PNG")) == [0, 255]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled(kind: str, encode) -> None:
    values = np.array([[0, 128, 129, 4095, 32768, 65535]], np.uint16)
    assert grey(encode(values, kind)) == [0, 0, 1, 16, 128, 255]


def test_sixteen_bits_big_endian(encode) -> None:
    image = PilImage.frombytes("I;16B", (2, 1), b"\x80\x00\xff\xff")
    assert colours(image) == [[128] * 3, [255] * 3]
    assert grey(encode(image, "TIFF")) == [128, 255]


def test_sixteen_bit_pgm(encode) -> None:
    assert grey(b"P5 3 1 65535\n\x00\x00\x80\x00\xff\xff") == [0, 128, 255]
    assert grey(b"P5 2 1 1023\n\x00\x00\x03\xff") == [0, 255]


def test_sixteen_bits_with_white_as_zero(encode) -> None:
    values = np.array([[0, 65535]], np.uint16)
    assert grey(encode(values, "TIFF", tiffinfo={262: 0})) == [255, 0]


def test_sixteen_bit_colour_png() -> None:
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    row = b"\x00" + struct.pack(">3H", 0, 32768, 65535)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    data += chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    assert decode(data, key="x").pixels.tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 65535, 32768], [0, 255, 128]),  # as if sixteen bits
        ([-100, 0, 200], [0, 85, 255]),  # no natural white: stretched
        ([-(2**31), 2**31 - 1], [0, 255]),
        ([70000, 70000], [0, 0]),
    ],
)
def test_32_bit_integers(values: list[int], expected: list[int], encode) -> None:
    assert grey(encode(np.array([values], np.int32), "TIFF")) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.25, 0.25], [64, 64]),  # a constant within [0, 1] keeps its grey
        ([10.0, 15.0, 25.0], [0, 85, 255]),
        ([float("nan"), 0.0, 1.0, float("inf")], [0, 0, 255, 255]),
        ([float("nan"), float("nan")], [0, 0]),
        ([3e38, -3e38], [255, 0]),
        ([7.0, 7.0], [0, 0]),
    ],
)
def test_floats(values: list[float], expected: list[int], encode) -> None:
    assert grey(encode(np.array([values], np.float32), "TIFF")) == expected


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
def test_transparency_lies_over_white(mode: str) -> None:
    image = PilImage.new("RGBA", (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (100, 100, 100, alpha))
    through = {"La": "LA", "RGBa": "RGBA"}.get(mode, mode)
    converted = image.convert(through)
    converted = converted if through == mode else converted.convert(mode)
    got = np.asarray(to_rgb(converted))[0, :, 0]
    assert np.abs(got.astype(int) - [255, 177, 100]).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_palette_lies_over_white(kind: str, encode) -> None:
    image = PilImage.new("P", (2, 1), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((0, 0), 0)
    pixels = decode(encode(image, kind, transparency=0), key="x").pixels
    assert pixels.tolist() == [[[255, 255, 255], [40, 50, 60]]]


@pytest.mark.parametrize(("mode", "colour"), [("L", 7), ("RGB", (7, 8, 9))])
def test_transparent_colour_of_a_png(mode: str, colour: object, encode) -> None:
    image = PilImage.new(mode, (2, 1), colour)
    image.putpixel((1, 0), 200 if mode == "L" else (200, 200, 200))
    pixels = decode(encode(image, "PNG", transparency=colour), key="x").pixels
    assert pixels.tolist() == [[[255] * 3, [200] * 3]]


def test_cmyk_and_adobes_inverted_cmyk(encode) -> None:
    red = PilImage.new("CMYK", (8, 8), (0, 255, 255, 0))
    for kind in ("TIFF", "JPEG"):  # PIL writes JPEGs as Adobe does: inverted, with its marker
        data = encode(red, kind)
        assert (b"Adobe" in data) == (kind == "JPEG")
        assert np.abs(decode(data, key="x").pixels[4, 4].astype(int) - [255, 0, 0]).max() <= 2


def test_ycbcr_and_hsv() -> None:
    red = PilImage.new("RGB", (1, 1), (255, 0, 0))
    for mode in ("YCbCr", "HSV"):
        assert np.abs(np.array(colours(red.convert(mode))[0]) - [255, 0, 0]).max() <= 2


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [
        ((0, 128, 128), (0, 0, 0)),
        ((255, 128, 128), (255, 255, 255)),
        ((137, 128, 128), (128, 128, 128)),  # L* 53.6
        ((138, 209, 198), (255, 0, 0)),  # sRGB red is L* 54.3, a* 80.8, b* 69.9 under D50
        ((224, 49, 209), (0, 255, 0)),  # green: 87.8, -79.3, 81.0
    ],
)
def test_lab(lab: tuple[int, int, int], rgb: tuple[int, int, int], encode) -> None:
    image = PilImage.merge("LAB", [PilImage.new("L", (1, 1), value) for value in lab])
    assert np.abs(np.array(colours(image)[0]) - rgb).max() <= 10  # eight bits of Lab are coarse
    file = io.BytesIO(encode(image, "TIFF"))
    assert np.abs(decode(file.getvalue(), key="x").pixels[0, 0].astype(int) - rgb).max() <= 10
