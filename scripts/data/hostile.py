"""Make damaged and misleading image files of every supported format, from a seed.

python -m scripts.data.hostile FOLDER [--count N] [--seed S]

Each is a small sound file with one or several of these done to it: bits flipped, bytes replaced or
zeroed, cut short, bytes put in, a part repeated, a number in its header made huge, another format's
beginning, zeros behind it.
"""

from __future__ import annotations

import argparse
import io
import random
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

HEIC = Path(__file__).resolve().parents[2] / "tests/golden/images/phone.heic"
_HUGE = (0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x00010000, 0x0000FFFF, 0x3FFFFFFF, 0)


def sound() -> dict[str, bytes]:
    """One small file of each format and of its common variants, by a name with its suffix."""
    picture = _picture()
    pixels = np.asarray(picture)
    deep = pixels.astype(np.uint16) * 257
    grey = np.ascontiguousarray(pixels[..., 0])
    files = {
        "plain.jpg": _by_pillow(picture, "JPEG"),
        "progressive.jpg": _by_pillow(picture, "JPEG", progressive=True, subsampling=0),
        "cmyk.jpg": _by_pillow(picture.convert("CMYK"), "JPEG"),
        "exif.jpg": _by_pillow(picture, "JPEG", exif=_exif(), icc_profile=_profile()),
        "deep.jpg": bytes(imagecodecs.jpeg8_encode(deep >> 4, bitspersample=12)),
        "lossless.jpg": bytes(imagecodecs.jpeg8_encode(pixels, lossless=True)),
        "plain.png": _by_pillow(picture, "PNG", exif=_exif(), icc_profile=_profile()),
        "palette.png": _by_pillow(picture.convert("P"), "PNG", transparency=3),
        "deep.png": bytes(imagecodecs.png_encode(deep)),
        "animated.png": _animated(picture, "PNG"),
        "animated.gif": _animated(picture, "GIF"),
        "plain.bmp": _by_pillow(picture, "BMP"),
        "plain.ppm": _by_pillow(picture, "PPM"),
        "deep.pgm": b"P5 40 30 65535\n" + (grey.astype(">u2") * 257).tobytes(),
        "plain.tga": _by_pillow(picture, "TGA"),
        "plain.pcx": _by_pillow(picture, "PCX"),
        "plain.qoi": _by_pillow(picture, "QOI"),
        "plain.sgi": _by_pillow(picture, "SGI"),
        "lossy.webp": bytes(imagecodecs.webp_encode(pixels, level=70)),
        "lossless.webp": bytes(imagecodecs.webp_encode(pixels, lossless=True)),
        "plain.jp2": bytes(imagecodecs.jpeg2k_encode(pixels, level=0)),
        "bare.j2k": bytes(imagecodecs.jpeg2k_encode(pixels, level=40, codecformat="j2k")),
        "plain.avif": bytes(imagecodecs.avif_encode(pixels, level=60, speed=9)),
        "deep.avif": bytes(imagecodecs.avif_encode(deep >> 4, level=60, speed=9, bitspersample=12)),
        "bare.jxl": bytes(imagecodecs.jpegxl_encode(pixels, lossless=True)),
        "boxed.jxl": bytes(imagecodecs.jpegxl_encode(pixels, usecontainer=True)),
        "phone.heic": HEIC.read_bytes(),
    }
    return files | {f"{name}.tif": data for name, data in _tiffs(pixels, deep, grey).items()}


def _tiffs(pixels: Any, deep: Any, grey: Any) -> dict[str, bytes]:
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "plain": (pixels, {}),
        "lzw": (pixels, {"compression": "lzw", "predictor": True}),
        "zip": (deep, {"compression": "zlib", "byteorder": ">"}),
        "tiles": (pixels, {"compression": "zstd", "tile": (16, 16)}),
        "big": (pixels, {"compression": "packbits", "bigtiff": True}),
        "jpeg": (pixels, {"compression": "jpeg"}),
        "planes": (np.moveaxis(pixels, -1, 0), {"planarconfig": "separate"}),
        "float": (grey.astype(np.float32), {"compression": "lzma"}),
        "fax": (grey > 99, {"compression": "packbits"}),
    }
    files = {}
    for name, (samples, options) in kinds.items():
        file = io.BytesIO()
        colour = "rgb" if samples.ndim == 3 else "minisblack"
        tifffile.imwrite(file, samples, photometric=colour, **options)
        files[name] = file.getvalue()
    return files


def _picture() -> Image.Image:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((40, 30), Image.Resampling.BICUBIC)


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0132] = 6, "Maker", "2024:05:06 07:08:09"
    return exif.tobytes()


def _profile() -> bytes:
    primaries = [0.680, 0.320, 1.0, 0.265, 0.690, 1.0, 0.150, 0.060, 1.0]
    white = [0.3127, 0.3290, 1.0]
    return bytes(imagecodecs.cms_profile("rgb", whitepoint=white, primaries=primaries, gamma=2.2))


def _by_pillow(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _animated(picture: Image.Image, kind: str) -> bytes:
    return _by_pillow(picture, kind, save_all=True, append_images=[picture.rotate(90)])


def hostile(
    count: int, seed: int, files: Mapping[str, bytes] | None = None
) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of `count` files, each of `files` in its turn (by default those of `sound`);
    the same for the same seed."""
    chance = random.Random(seed)
    originals = sorted((sound() if files is None else files).items())
    heads = [data[:16] for _, data in originals]
    for number in range(count):
        name, data = originals[number % len(originals)]
        file = bytearray(data)
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            chance.choice(_DAMAGES)(file, chance)
        if chance.random() < 0.03:
            file[:16] = chance.choice(heads)
        stem, _, suffix = name.partition(".")
        yield f"{number:06d}-{stem}.{suffix}", bytes(file)


Damage = Callable[[bytearray, random.Random], None]


def _place(file: bytearray, chance: random.Random) -> int:
    """Anywhere, and half of the time in the header."""
    end = max(1, len(file))
    return chance.randrange(min(end, 120) if chance.random() < 0.5 else end)


def _flip(file: bytearray, chance: random.Random) -> None:
    if file:
        file[_place(file, chance)] ^= 1 << chance.randrange(8)


def _replace(file: bytearray, chance: random.Random) -> None:
    at = _place(file, chance)
    file[at : at + 4] = chance.randbytes(min(4, len(file) - at))


def _zero(file: bytearray, chance: random.Random) -> None:
    at, length = _place(file, chance), chance.choice((4, 40, 400))
    file[at : at + length] = bytes(len(file[at : at + length]))


def _cut(file: bytearray, chance: random.Random) -> None:
    del file[chance.randrange(max(1, len(file))) :]


def _lose(file: bytearray, chance: random.Random) -> None:
    at = _place(file, chance)
    del file[at : at + chance.choice((1, 10, 100))]


def _insert(file: bytearray, chance: random.Random) -> None:
    at = _place(file, chance)
    file[at:at] = chance.randbytes(chance.choice((1, 7, 64)))


def _repeat(file: bytearray, chance: random.Random) -> None:
    at = _place(file, chance)
    part = file[at : at + chance.choice((8, 64, 512))]
    file[at:at] = bytes(part) * chance.choice((1, 3))


def _exaggerate(file: bytearray, chance: random.Random) -> None:
    """A number, of either byte order, says something huge: sizes, counts, offsets."""
    at, form = _place(file, chance), chance.choice(("<I", ">I", "<H", ">H"))
    number = struct.pack(form, chance.choice(_HUGE) & (0xFFFF if form[1] == "H" else 0xFFFFFFFF))
    file[at : at + len(number)] = number[: len(file) - at]


def _trail(file: bytearray, chance: random.Random) -> None:
    file += bytes(chance.choice((1, 100, 10_000)))


_DAMAGES: tuple[Damage, ...] = (
    _flip, _replace, _zero, _cut, _lose, _insert, _repeat, _exaggerate, _exaggerate, _trail,
)  # fmt: skip


def write(folder: Path, count: int, seed: int, files: Mapping[str, bytes] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in hostile(count, seed, files):
        (folder / name).write_bytes(data)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.data.hostile", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    write(options.folder, options.count, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
