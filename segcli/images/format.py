"""The image formats that are read, those that are only recognised, and what reading them needs.

A format is detected from the content. The allowlist contains only raster formats: no program is run
and no page description is interpreted (EPS, PDF, WMF). Formats without a real magic number are not
included, because noise would be read as a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from PIL import Image as PilImage
from PIL import features

_INSTALL = "pip install --no-deps pi-heif"  # its dependency would install Pillow over Pillow-SIMD


@dataclass(frozen=True, slots=True)
class Format:
    """A format: PIL's `name`, its `suffixes`, and what an installation `needs` to read it.

    `feature` is PIL's name of the optional library. `wheel` names the package that reads the format
    where Pillow doesn't; imagecodecs is always installed with segcli.
    """

    name: str
    suffixes: tuple[str, ...]
    feature: str = ""
    needs: str = ""
    wheel: str = ""

    @property
    def in_pillow(self) -> bool:
        """Whether the installed PIL decodes this format."""
        return self.name in _pil_formats() and (not self.feature or _has(self.feature))

    @property
    def readable(self) -> bool:
        """Whether this installation decodes this format, with any library."""
        return self.in_pillow or bool(self.wheel and _installed(self.wheel))


_ALLOWED = (
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), "jpg", "a Pillow built with libjpeg-turbo"),
    Format("MPO", (".mpo",), "jpg", "a Pillow built with libjpeg-turbo"),
    Format("PNG", (".png", ".apng"), "zlib", "a Pillow built with zlib"),
    Format("WEBP", (".webp",), "webp", "imagecodecs", wheel="imagecodecs"),
    Format("TIFF", (".tif", ".tiff")),
    Format("GIF", (".gif",)),
    Format("BMP", (".bmp",)),
    Format("PPM", (".pbm", ".pgm", ".ppm", ".pnm", ".pfm")),
    Format(
        "JPEG2000",
        (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
        "jpg_2000",
        "imagecodecs",
        wheel="imagecodecs",
    ),
    Format("AVIF", (".avif", ".avifs"), "avif", "imagecodecs", wheel="imagecodecs"),
    Format("TGA", (".tga",)),
    Format("PCX", (".pcx",)),
    Format("QOI", (".qoi",)),
    Format("SGI", (".sgi", ".rgb", ".rgba", ".bw")),
    Format("SUN", (".ras",)),
    Format("PSD", (".psd",)),
)

# Formats that Pillow never reads.
_FOREIGN = (
    Format("HEIC", (".heic", ".heif", ".hif"), needs=f"pi-heif ({_INSTALL})", wheel="pi_heif"),
    Format("JPEG XL", (".jxl",), needs="imagecodecs", wheel="imagecodecs"),
)

_TGA_FOOTER = b"TRUEVISION-XFILE"
_RAW = "a camera raw file; that needs LibRaw (develop it first: darktable, dcraw)"

# First bytes of files that are not pictures, or not in a format that is read: (offset, magic, text)
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftyphevc", "HEIC"),
    (4, b"ftypheim", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypcrx ", _RAW),
    (4, b"ftyp", "a video (MP4 or QuickTime)"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG", "PNG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WEBP"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (8, b"CR\x02", _RAW),
    (0, b"FUJIFILMCCD-RAW", _RAW),
    (0, b"IIRO", _RAW),
    (0, b"IIU\x00", _RAW),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"BM", "BMP"),
    (0, b"8BPS", "PSD"),
    (0, b"qoif", "QOI"),
    (0, b"%PDF", "a PDF; only raster images are read (convert its pages first: pdftoppm)"),
    (0, b"%!PS", "PostScript; only raster images are read (convert it first: Ghostscript)"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS; only raster images are read (convert it first: Ghostscript)"),
    (0, b"PK\x03\x04", "a zip file"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"RIFF", "a RIFF file (AVI or WAV)"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
)


@cache
def _pil_formats() -> frozenset[str]:
    """The formats whose plugins load; MPO is opened through JPEG."""
    PilImage.init()
    return frozenset(PilImage.OPEN) | {"MPO"}


@cache
def _installed(package: str) -> bool:
    return find_spec(package) is not None


@cache
def _has(feature: str) -> bool:
    # PIL warns about features that it does not know, such as AVIF before Pillow 11.3.
    known = {*features.modules, *features.codecs, *features.features}
    return feature in known and bool(features.check(feature))


def formats() -> tuple[Format, ...]:
    """Every format whose suffix is listed in a folder, even if this build cannot read it."""
    return _ALLOWED + _FOREIGN


@cache
def allowed() -> tuple[str, ...]:
    """PIL's names of the formats tried on every file.

    Without MPO, which PIL opens as a JPEG, and TGA, which has no magic number.
    """
    return tuple(f.name for f in _ALLOWED if f.in_pillow and f.name not in ("MPO", "TGA"))


def allowed_for(data: bytes, key: str) -> tuple[str, ...]:
    """`allowed`, with TGA if its footer or, in old files without one, the name shows it."""
    if _TGA_FOOTER in data[-26:] or key.lower().endswith(".tga"):
        return (*allowed(), "TGA")
    return allowed()


def sniff(data: bytes) -> str | None:
    """The name of the Format that the first bytes belong to, or None."""
    names = {format.name for format in formats()}
    found = next((text for offset, magic, text in _MAGIC if data.startswith(magic, offset)), None)
    return found if found in names else None


def explain(data: bytes) -> str:
    """Why `data` cannot be identified: the reason for the failed row."""
    if not data:
        return "the file is empty (0 bytes)"
    readable = {f.name: f for f in formats()}
    for offset, magic, found in _MAGIC:
        if data.startswith(magic, offset):
            known = readable.get(found)
            if known is None:
                return f"not a raster image that can be read: it is {found}"
            if not known.readable:
                return f"{found} images are not read here: that needs {known.needs}"
            rare = "or one of a rare kind with an unknown header"
            return f"damaged or truncated {found} image, {rare}"
    return _explain_unknown(data)


def _explain_unknown(data: bytes) -> str:
    head = data[:256]
    text = head.decode("utf-8", errors="ignore").strip("\ufeff \r\n\t")
    lowered = text.lower()
    if "<svg" in lowered:
        return "an SVG drawing; only raster images are read (convert it first: rsvg-convert)"
    if lowered.startswith(("<!doctype html", "<html")):
        return "not an image but an HTML page"
    printable = sum(c.isprintable() or c in "\r\n\t" for c in text)
    valid = len(text.encode()) >= 0.9 * len(head.strip())  # the last character may be cut in half
    if text and b"\x00" not in head and valid and printable >= 0.95 * len(text):
        return f"not an image but text: {text[:40]!r}"
    if not any(data):
        return f"not an image: {len(data)} bytes, all zero"
    names = ", ".join(f.name for f in formats() if f.readable)
    return f"not an image in a format that is read ({names}): it begins with {data[:8].hex(' ')}"
