"""Formats that Pillow may lack, depths of more than eight bits, profiles, several pages."""

import io
import os
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as PilImage
from PIL import features

from segcli.errors import ImageError
from segcli.images import codecs, decode, formats, pillow, tiff
from segcli.images.format import allowed
from segcli.images.probe import probe

GOLDEN = Path(__file__).resolve().parent.parent / "golden/images"
QUARTERS = [(254, 0, 0), (0, 255, 0), (0, 0, 254), (255, 255, 255)]


def quarters(pixels: np.ndarray) -> list[tuple[int, ...]]:
    height, width = pixels.shape[:2]
    places = ((0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1))
    return [tuple(pixels[place].tolist()) for place in places]


def close(found: list[tuple[int, ...]], expected: list[tuple[int, ...]], by: int = 4) -> bool:
    return bool(np.abs(np.array(found) - np.array(expected)).max() <= by)


@pytest.mark.parametrize("kind", ["WEBP", "JPEG2000", "AVIF", "JPEG XL"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.slow
def test_exact_pixels_without_pillows_libraries(kind: str, mode: str, photograph, encode) -> None:
    picture = photograph.convert(mode)
    data = encode(picture, kind, **({"lossless": True} if kind == "WEBP" else {}))
    image = decode(data, key="x")
    error = np.abs(image.pixels.astype(int) - np.asarray(picture.convert("RGB")))
    assert error.max() <= (4 if kind == "AVIF" else 0)  # YCbCr is rounded, in quality 100 too
    assert image.original_size == (200, 256)
    header = probe(data, key="x")
    assert (header.height, header.width, header.format) == (200, 256, kind)


@pytest.mark.parametrize("kind", ["WEBP", "JPEG2000", "AVIF"])
def test_equal_to_pillow_where_both_can(kind: str, photograph, encode) -> None:
    feature = {"WEBP": "webp", "JPEG2000": "jpg_2000", "AVIF": "avif"}[kind]
    if feature not in features.get_supported():
        pytest.skip(f"this Pillow does not read {kind}, so there is nothing to compare with")
    readers = {"WEBP": codecs.open_webp, "JPEG2000": codecs.open_jpeg2000, "AVIF": codecs.open_avif}
    for mode in ("RGB", "L", "RGBA"):
        data = encode(photograph.convert(mode), kind)
        ours, theirs = readers[kind](data), pillow.open_image(data, allowed(), turbo=False)
        assert ours.size == theirs.size
        assert np.array_equal(ours.decode(None, []), theirs.decode(None, []))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "1", "CMYK", "LAB", "I;16", "F"])
def test_tiff_reader_equals_pillows_on_what_both_read(mode: str, photograph, encode) -> None:
    if mode == "LAB":
        picture = PilImage.merge("LAB", photograph.split())
    elif mode == "I;16":
        picture = PilImage.fromarray(np.asarray(photograph.convert("L")).astype(np.uint16) * 257)
    else:
        picture = photograph.convert("RGBA" if mode == "LA" else mode).convert(mode)
    data = encode(picture, "TIFF")
    ours, theirs = tiff.open_tiff(data), pillow.open_image(data, allowed(), turbo=False)
    assert ours.size == theirs.size == (200, 256)
    upright = theirs.decode(None, [])
    assert np.array_equal(ours.decode(None, []), upright)
    turned = decode(encode(picture, "TIFF", tiffinfo={274: 6}), key="x")
    assert turned.original_size == (256, 200)
    assert np.array_equal(turned.pixels, np.rot90(upright, 3))


def test_times_and_camera_of_a_tiff_that_pillow_does_not_read(photograph) -> None:
    file = io.BytesIO()
    tags = [(271, 2, 0, "Maker", True), (272, 2, 0, "Field 9", True)]
    when = "2024:05:06 07:08:09"
    tifffile.imwrite(file, np.asarray(photograph), compression="lzw", datetime=when, extratags=tags)
    header = probe(file.getvalue(), key="x")
    assert (header.taken, header.camera) == (when, "Maker Field 9")


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw", "predictor": True},
        {"compression": "zstd", "tile": (64, 64)},
        {"compression": "zlib", "byteorder": ">"},
        {"compression": "zlib", "byteorder": ">", "bigtiff": True},
        {"compression": "packbits"},
        {"compression": "jpegxl"},
        {"planarconfig": "separate"},
    ],
    ids=str,
)
@pytest.mark.parametrize("depth", [8, 16])
def test_tiff_of_any_making(options: dict, depth: int, photograph) -> None:
    pixels = np.asarray(photograph)
    stored = pixels if depth == 8 else pixels.astype(np.uint16) * 257
    planes = np.moveaxis(stored, -1, 0) if "planarconfig" in options else stored
    file = io.BytesIO()
    tifffile.imwrite(file, planes, photometric="rgb", **options)
    assert np.array_equal(decode(file.getvalue(), key="x").pixels, pixels)


def test_first_of_several_pages_and_overviews_that_are_none(photograph) -> None:
    small = np.asarray(photograph.convert("L"))
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(small)
        writer.write(small[::2, ::2], subfiletype=1)
        writer.write(255 - small, compression="lzw")
    assert tiff.count_pages(file.getvalue()) == 2
    image = decode(file.getvalue(), key="x")
    assert image.warnings == ("several pages: the first of 2 is read",)
    assert np.array_equal(image.pixels[..., 0], small)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "colour PNG", "colour TIFF"])
def test_values_of_few_bits_in_sixteen(kind: str, bits: int, photograph, encode) -> None:
    mode = "RGB" if "colour" in kind else "L"
    expected = np.asarray(photograph.convert(mode))
    white = (1 << bits) - 1
    stored = ((expected.astype(np.uint32) * white + 127) // 255).astype(np.uint16)
    stored.flat[0] = white
    if kind == "colour PNG":
        data = bytes(imagecodecs.png_encode(stored))
    elif kind == "colour TIFF":
        file = io.BytesIO()
        tifffile.imwrite(file, stored, photometric="rgb")
        data = file.getvalue()
    else:
        data = encode(stored, kind)
    image = decode(data, key="x")
    assert image.warnings == (
        f"few bits: {bits}-bit values in a 16-bit image, scaled by that range",
    )
    error = np.abs(image.pixels.astype(int) - expected.reshape(200, 256, -1))
    assert error.reshape(-1, error.shape[-1])[1:].max() <= 1


@pytest.mark.parametrize("kind", ["avif", "jpeg2k", "jpegxl"])
def test_stated_depth_counts_however_dark_the_picture(kind: str) -> None:
    dark = np.full((32, 48, 3), 500, np.uint16)
    options = {"lossless": True} if kind == "jpegxl" else {"level": 100 if kind == "avif" else 0}
    data = bytes(getattr(imagecodecs, f"{kind}_encode")(dark, bitspersample=12, **options))
    image = decode(data, key="x")
    assert image.warnings == ()
    assert np.abs(image.pixels.astype(int) - round(500 * 255 / 4095)).max() <= 1


def test_twelve_bit_and_lossless_jpeg(photograph) -> None:
    grey = np.asarray(photograph.convert("L"))
    deep = bytes(imagecodecs.jpeg8_encode(grey.astype(np.uint16) * 16, level=98, bitspersample=12))
    image = decode(deep, key="x")
    assert image.original_size == (200, 256)
    assert np.abs(image.pixels[..., 0].astype(int) - grey).mean() < 1.5
    lossless = bytes(imagecodecs.jpeg8_encode(np.asarray(photograph), lossless=True))
    assert np.array_equal(decode(lossless, key="x").pixels, np.asarray(photograph))


def p3_profile() -> bytes:
    """A Display P3 profile, but for its curve, which is a plain power here."""
    primaries = [0.680, 0.320, 1.0, 0.265, 0.690, 1.0, 0.150, 0.060, 1.0]
    white = [0.3127, 0.3290, 1.0]
    return bytes(imagecodecs.cms_profile("rgb", whitepoint=white, primaries=primaries, gamma=2.2))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_profiles_become_srgb(kind: str, encode) -> None:
    # P3's (0.45, 0.65, 0.35) and a grey: sRGB has a more saturated green for the same colour.
    stored = np.full((16, 32, 3), (115, 166, 89), np.uint8)
    stored[:, 16:] = 128
    image = decode(encode(stored, kind, icc_profile=p3_profile()), key="x")
    green, grey = image.pixels[8, 4].astype(int), image.pixels[8, 28].astype(int)
    assert np.abs(green - (98, 168, 80)).max() <= 4
    assert np.abs(grey - 128).max() <= 2
    plain = decode(encode(stored, kind), key="x").pixels
    assert np.array_equal(plain, decode(encode(stored, kind, icc_profile=srgb()), key="x").pixels)
    broken = encode(stored, kind, icc_profile=p3_profile()[:200])
    assert np.array_equal(plain, decode(broken, key="x").pixels)


def srgb() -> bytes:
    return bytes(imagecodecs.cms_profile("srgb"))


def test_scaled_jpegs_have_pillows_pixels(photograph, encode) -> None:
    for width, height in ((1283, 801), (640, 400)):
        data = encode(photograph.resize((width, height)), "JPEG")
        for divisor in (1, 2, 3, 4, 8, 16):
            least = (height // divisor, width // divisor)
            ways = [
                decode(data, key="x", at_least=lambda size, least=least: least, decoder=which)
                for which in ("pil", "turbo")
            ]
            assert np.array_equal(ways[0].pixels, ways[1].pixels)


def test_avif_is_turned_by_its_own_property() -> None:
    data = (GOLDEN / "turned.avif").read_bytes()
    image = decode(data, key="x")
    assert image.original_size == image.pixels.shape[:2] == (48, 64)
    assert probe(data, key="x").height == 48
    assert close(quarters(image.pixels), QUARTERS)


def test_heic() -> None:
    pytest.importorskip("pi_heif", reason="HEIC: the extra `heif` is not installed")
    data = (GOLDEN / "phone.heic").read_bytes()
    image = decode(data, key="x")
    assert image.original_size == (48, 64)
    assert close(quarters(image.pixels), QUARTERS)
    header = probe(data, key="x")
    assert (header.taken, header.camera) == ("2024:05:06 07:08:09", "Maker Phone 1")
    with pytest.raises(ImageError, match="the limit is 99"):
        decode(data, key="x", max_pixels=99)


def test_heic_without_its_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from segcli.images import format

    monkeypatch.setattr(format, "_installed", lambda package: package != "pi_heif")
    with pytest.raises(ImageError, match="HEIC .* needs pi-heif .pip install --no-deps pi-heif"):
        decode((GOLDEN / "phone.heic").read_bytes(), key="x")


@pytest.mark.parametrize("kind", ["WEBP", "JPEG2000", "AVIF", "JPEG XL", "TIFF"])
def test_sizes_are_checked_before_decoding(kind: str, photograph, encode, monkeypatch) -> None:
    data = encode(photograph, kind)
    for name in ("webp_decode", "jpeg2k_decode", "avif_decode", "jpegxl_decode", "tiff_decode"):
        monkeypatch.setattr(imagecodecs, name, lambda *a, **k: pytest.fail("was decoded"))
    with pytest.raises(ImageError, match="256 x 200 = 51,200 pixels, the limit is 51,199"):
        decode(data, key="x", max_pixels=51_199)


def test_every_format_of_the_list_is_read() -> None:
    unread = {each.name for each in formats() if not each.readable}
    assert unread <= {"HEIC"}, os.linesep.join(sorted(unread))
