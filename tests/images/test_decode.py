"""Orientation, limits, faults, and the second JPEG decoder."""

import io
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from segcli import images
from segcli.errors import ImageError
from segcli.images import decode, jpeg

LOSSLESS = ["PNG", "TIFF", "BMP", "PPM", "PCX", "SGI", "TGA", "QOI", "WEBP", "JPEG2000"]
KINDS = [*LOSSLESS, "JPEG", "GIF"]


def exif(orientation: int) -> PilImage.Exif:
    tags = PilImage.Exif()
    tags[0x0112] = orientation
    return tags


def failure(data: bytes, **options) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, key=options.pop("key", "x.jpg"), **options)
    return str(caught.value)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_exactly(kind: str, photograph, encode) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    image = decode(encode(photograph, kind, **options), key="x.tga" if kind == "TGA" else "x.jpg")
    assert np.array_equal(image.pixels, np.asarray(photograph))
    assert image.original_size == (200, 256)
    assert image.pixels.flags.writeable
    assert image.pixels.flags.c_contiguous


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(kind: str, orientation: int, encode) -> None:
    upright = np.zeros((32, 64, 3), np.uint8)
    upright[:16, :16] = 255  # white top left
    undo = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
    stored = PilImage.fromarray(upright)
    if orientation > 1:
        # What a camera stores is the upright picture turned the other way.
        method = {v: getattr(PilImage.Transpose, n) for v, n in NAMES.items()}[undo[orientation]]
        stored = stored.transpose(method)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(stored, kind, exif=exif(orientation), **options)
    for which in ("pil", "turbo"):
        image = decode(data, key="x", decoder=which)
        assert image.original_size == (32, 64)
        assert np.abs(image.pixels.astype(int) - upright).max() < 60
        assert image.pixels[4, 4, 0] > 200


NAMES = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def test_damaged_exif_counts_as_upright(photograph, encode) -> None:
    data = encode(photograph, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff" + b"\xff" * 40)
    assert decode(data, key="x").original_size == (200, 256)


def test_first_frame_of_an_animation(photograph, encode) -> None:
    other = PilImage.new("RGB", photograph.size, (255, 0, 0))
    for kind in ("GIF", "WEBP", "PNG", "TIFF", "MPO"):
        data = encode(photograph, kind, save_all=True, append_images=[other])
        image = decode(data, key="x")
        assert np.abs(image.pixels.astype(int) - np.asarray(photograph)).mean() < 12
        noun = "pages" if kind == "TIFF" else "frames"
        said = () if kind == "MPO" else (f"several {noun}: the first of 2 is read",)
        assert image.warnings == said  # what follows in an MPO is a preview or the other eye's view


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "TGA"])
def test_every_truncation_is_a_failure(kind: str, photograph, encode) -> None:
    data = encode(photograph, kind)
    for share in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97):
        for which in ("pil", "turbo"):
            assert failure(data[: int(len(data) * share)], decoder=which)


@pytest.mark.parametrize("progressive", [False, True])
def test_truncated_jpeg_is_called_truncated(progressive: bool, photograph, encode) -> None:
    data = encode(photograph, "JPEG", progressive=progressive)
    assert "truncated" in failure(data[: len(data) // 2], decoder="turbo")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty (0 bytes)"),
        (b"a letter to my aunt\n", "not an image but text: 'a letter to my aunt'"),
        ("données géographiques".encode(), "not an image but text"),
        (b"<!DOCTYPE html><html>404", "HTML page"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "SVG"),
        (b"\xff\xd8\xff\xe0", "damaged or truncated JPEG image"),
        (b"\x89PNG\r\n\x1a\n", "damaged or truncated PNG image"),
        (b"%PDF-1.7 x", "a PDF; only raster"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript; only raster"),
        (b"\x00\x00\x00\x20ftypheic" + bytes(20), "damaged"),  # or not installed, see test_heif
        (b"\xff\x0a" + bytes(20), "damaged image: .*JXL"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(40), "camera raw file; that needs LibRaw"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(20), "a video"),
        (bytes(4096), "4096 bytes, all zero"),
        (b"\x01\x02\x03\x04\xfe\xfd\xfc", "begins with 01 02 03 04"),
    ],
)
def test_reason_for_what_is_no_picture(data: bytes, reason: str) -> None:
    assert re.search(reason.replace("(0 bytes)", r"\(0 bytes\)"), failure(data))


def test_suffix_does_not_matter_but_for_old_tga(photograph, encode) -> None:
    assert decode(encode(photograph, "PNG"), key="x.jpg").original_size == (200, 256)
    old = encode(photograph, "TGA")[:-26]  # without the footer there is nothing to know it by
    assert decode(old, key="x.TGA").original_size == (200, 256)
    assert "not an image" in failure(old, key="x.jpg")


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + extra + pixels + chunk(b"IEND", b"")


def test_bombs_are_refused_before_decoding() -> None:
    reason = failure(png(60_000, 60_000))
    assert "60000 x 60000 = 3,600,000,000 pixels, the limit is 200,000,000" in reason
    assert "limit is 99 " in failure(png(10, 10), max_pixels=99)


def test_text_bomb_in_a_png() -> None:
    body = b"k\x00\x00" + zlib.compress(bytes(50_000_000))
    text = struct.pack(">I", len(body)) + b"zTXt" + body
    text += struct.pack(">I", zlib.crc32(b"zTXt" + body))
    assert "too large" in failure(png(4, 4, text)).lower()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_odd_sizes(size: tuple[int, int], kind: str, encode) -> None:
    pixels = np.full((*size, 3), 77, np.uint8)
    for which in ("pil", "turbo"):
        image = decode(encode(pixels, kind), key="x", decoder=which)
        assert image.original_size == size
        assert np.array_equal(image.pixels, pixels)


@pytest.mark.slow
def test_hundred_megapixels(encode) -> None:
    data = encode(PilImage.new("L", (12_000, 9_000), 9), "PNG", compress_level=1)
    assert decode(data, key="x").pixels.shape == (9_000, 12_000, 3)


def test_neither_python_nor_a_library_prints(photograph, encode, tmp_path) -> None:
    ifd = b"II*\x00\x08\x00\x00\x00\x02\x00\x0e\x01\x02\x00\xff\xff\x00\x00\xff\xff\xff\x00"
    files = [
        encode(photograph.convert("P"), "PNG", transparency=bytes([0] * 100)),
        encode(photograph, "JPEG", exif=b"Exif\x00\x00" + ifd),
        png(40_000, 40_000),
        b"\x00\x00\x00\x1cftypavif" + bytes(30),
        damaged(encode(photograph, "JPEG")),
        *[encode(photograph, kind)[:-500] for kind in (*KINDS, "AVIF", "JPEG XL")],
        encode(photograph, "TIFF", compression="tiff_lzw")[:-500],
        damaged(encode(photograph, "TIFF", compression="tiff_adobe_deflate")),
    ]
    for number, data in enumerate(files):
        (tmp_path / str(number)).write_bytes(data)
    code = (
        "import pathlib, sys; from segcli.images import decode\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    try: decode(path.read_bytes(), key='x')\n"
        "    except Exception as error: assert type(error).__name__ == 'ImageError'"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code, tmp_path], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def damaged(data: bytes) -> bytes:
    """A tenth of it is missing in the middle."""
    middle = len(data) // 2
    return data[:middle] + data[middle + len(data) // 10 :]


@pytest.mark.parametrize("kind", ["RGB", "L", "CMYK"])
def test_corrupt_jpeg_data_are_a_warning_or_an_error(kind: str, photograph, encode) -> None:
    sound = encode(photograph.convert(kind), "JPEG")
    data = damaged(sound)
    assert decode(sound, key="x").warnings == ()
    image = decode(data, key="x")
    assert image.original_size == (200, 256)
    assert re.match(r"damaged: libjpeg reports 'Corrupt JPEG data: ", image.warnings[0])
    assert np.array_equal(image.pixels, decode(data, key="x", decoder="pil").pixels)
    assert "Corrupt JPEG data" in failure(data, strict=True)
    assert decode(sound, key="x", strict=True).warnings == ()


def test_limits_and_filters_of_the_process_stay() -> None:
    code = (
        "import warnings; from PIL import Image; before = Image.MAX_IMAGE_PIXELS\n"
        "from segcli.images import decode\n"
        "filters = list(warnings.filters)\n"
        "try: decode(b'x', key='x')\n"
        "except Exception: pass\n"
        "assert Image.MAX_IMAGE_PIXELS == before and before\n"
        "assert warnings.filters == filters"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_both_jpeg_decoders_agree(mode, subsampling, progressive, photograph, encode) -> None:
    assert jpeg.agrees()
    for size in ((256, 200), (255, 199), (17, 9), (1, 1)):
        picture = photograph.resize(size).convert(mode)
        options = {"subsampling": subsampling} if mode == "RGB" else {}
        data = encode(picture, "JPEG", quality=80, progressive=progressive, **options)
        expected = np.asarray(PilImage.open(io.BytesIO(data)).convert("RGB"))
        for which in ("pil", "turbo"):
            assert np.array_equal(decode(data, key="x", decoder=which).pixels, expected)


def test_pil_decodes_where_the_decoders_differ(
    monkeypatch: pytest.MonkeyPatch, photograph, encode
) -> None:
    monkeypatch.setattr(jpeg, "agrees", lambda: False)
    monkeypatch.setattr(jpeg, "pixels", lambda data: pytest.fail("must not be asked"))
    data = encode(photograph, "JPEG")
    assert decode(data, key="x", decoder="turbo").original_size == (200, 256)


def test_dct_scaling_keeps_the_content_size_and_the_original(photograph, encode) -> None:
    big = photograph.resize((1280, 800))
    for orientation, original in ((1, (800, 1280)), (6, (1280, 800))):
        data = encode(big, "JPEG", exif=exif(orientation))
        asked = []

        def half(size: tuple[int, int], asked: list = asked) -> tuple[int, int]:
            asked.append(size)
            return size[0] // 2 - 5, size[1] // 2 - 5

        image = decode(data, key="x", at_least=half, decoder="turbo")
        assert asked == [original]
        assert image.original_size == original
        assert image.pixels.shape[:2] == (original[0] // 2, original[1] // 2)
    assert decode(data, key="x", at_least=lambda size: size).pixels.shape[:2] == (1280, 800)
    assert (images.rule(None), images.rule(half)) == ("full", "dct")
    assert set(images.RULES) == {"full", "dct"}


def test_pil_path_loads_no_torch() -> None:
    code = (
        "import io, sys; from PIL import Image; from segcli.images import decode;"
        "f = io.BytesIO(); Image.new('RGB', (9, 9)).save(f, 'JPEG'); decode(f.getvalue(), key='x');"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def real_files(photograph, encode) -> list[bytes]:
    small = photograph.resize((40, 30))
    files = [encode(small, kind) for kind in KINDS]
    files += [encode(small, "JPEG", progressive=True, subsampling=0, exif=exif(6))]
    files += [encode(small, "TIFF", compression=c) for c in ("tiff_lzw", "tiff_adobe_deflate")]
    files += [encode(small.convert(mode), "PNG") for mode in ("P", "LA", "RGBA", "1", "I;16")]
    files += [encode(small.convert(mode), "TIFF") for mode in ("CMYK", "F", "I", "L")]
    files += [encode(PilImage.merge("LAB", small.split()), "TIFF")]
    files += [encode(small, "PNG", save_all=True, append_images=[small.rotate(9)])]
    return files


@settings(deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutated_files_give_a_picture_or_an_image_error(real_files, data) -> None:
    file = bytearray(data.draw(st.sampled_from(real_files)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(file), 400) - 1) | st.integers(0, len(file) - 1))
        file[at : at + data.draw(st.integers(1, 3))] = data.draw(st.binary(min_size=0, max_size=4))
    key = data.draw(st.sampled_from(["x.jpg", "x.tga"]))
    answers = []
    for which in ("pil", "turbo"):
        try:
            image = decode(bytes(file), key=key, max_pixels=10**6, decoder=which)
        except ImageError:
            answers.append(None)
        else:
            assert image.pixels.shape == (*image.original_size, 3)
            answers.append(image.pixels)
    pil, other = answers
    assert (pil is None) == (other is None)
    assert pil is None or np.array_equal(pil, other)
