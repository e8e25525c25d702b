"""Decode 1080p and 12-megapixel JPEGs of real photographs, and fit them to 640 px, one thread.

Ways: PIL whole, simplejpeg scaled by DCT and whole, and two other decoders of libjpeg-turbo;
`equal`: the pixels of all are PIL's. The times are
the thread's own processor time, and the ways take turns, so that load falls on all
alike.
"""

from __future__ import annotations

import io
import statistics
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PIL import Image as PilImage

from segcli.images import decode, flavour, jpeg
from segcli.images.batch import content_size, fit
from segcli.types import Image, ModelInfo, Resize

ROUNDS = 5
INFO = ModelInfo("bench", "bench", ("person",), (1,), Resize(640, 1138), stride=32)
SIZES = {"1080p": (1920, 1080), "12mp": (4000, 3000)}
SAVED = {"420": {"subsampling": 2}, "444": {"subsampling": 0}, "progressive": {"progressive": True}}


def main() -> dict[str, Any]:
    """Medians in ms of one run, and ratios to PIL whole."""
    import torch

    torch.set_num_threads(1)
    figures: dict[str, Any] = {"pil": flavour(), "agrees": jpeg.agrees()}
    for row in results():
        name = row.pop("name")
        figures.update({f"{name} {what}": value for what, value in row.items()})
    figures |= colour()
    figures["cpu share of a second thread"] = freedom()
    return figures


def results() -> list[dict[str, Any]]:
    """One row a kind of file: ms of each way, decoding alone (_ms) and with fitting (_fit_ms)."""
    rows = []
    for size, saved in (
        ("1080p", "420"),
        ("1080p", "444"),
        ("1080p", "progressive"),
        ("12mp", "420"),
    ):
        files = photographs(SIZES[size], **SAVED[saved])
        row: dict[str, Any] = {"name": f"{size} {saved}"}
        row["kB"] = sum(map(len, files)) // len(files) // 1000
        loads = {way: partial(decode, key="", **options) for way, options in WAYS.items()}
        loads |= {"torchvision": by_torchvision, "imagecodecs": by_imagecodecs}
        works = {f"{way}_ms": load for way, load in loads.items()}
        works |= {f"{way}_fit_ms": partial(fitted, load) for way, load in loads.items()}
        row |= medians_ms(works, files)
        row["turbo/pil"] = row["turbo_ms"] / row["pil_ms"]
        row["turbo/pil with fit"] = row["turbo_fit_ms"] / row["pil_fit_ms"]
        row["dct/pil with fit"] = row["dct_fit_ms"] / row["pil_fit_ms"]
        row["equal"] = all(
            np.array_equal(load(f).pixels, loads["pil"](f).pixels)
            for f in files
            for way, load in loads.items()
            if way != "dct"
        )
        rows.append(row)
    return rows


def colour() -> dict[str, float]:
    """ms of a JPEG of 1080p with an Adobe RGB profile, which is converted to sRGB, and without."""
    import imagecodecs

    size, figures = SIZES["1080p"], {}
    for name, options in (
        ("no", {}),
        ("sRGB", {"icc_profile": imagecodecs.cms_profile("srgb")}),
        ("Adobe RGB", {"icc_profile": imagecodecs.cms_profile("adobergb")}),
    ):
        ways = medians_ms({"decode": partial(decode, key="")}, photographs(size, **options))
        figures[f"1080p with {name} profile ms"] = ways["decode"]
    return figures


WAYS: dict[str, dict[str, Any]] = {
    "pil": {"decoder": "pil"},
    "dct": {"at_least": partial(content_size, resize=INFO.resize)},
    "turbo": {"decoder": "turbo"},
}


def by_torchvision(data: bytes) -> Image:
    """As before simplejpeg; torchvision warns that it will not have this operator for ever."""
    import torch
    import torchvision.io

    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    decoded = torch.ops.image.decode_jpeg(encoded, torchvision.io.ImageReadMode.RGB.value)
    pixels = decoded.permute(1, 2, 0).contiguous().numpy()
    return Image("", pixels, pixels.shape[:2])


def by_imagecodecs(data: bytes) -> Image:
    import imagecodecs

    pixels = imagecodecs.jpeg8_decode(data, outcolorspace="RGB")
    return Image("", pixels, pixels.shape[:2])


def photographs(size: tuple[int, int], **options: Any) -> list[bytes]:
    """JPEGs of quality 90 of `size` (width, height) px, made from what scikits ship."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    files = []
    for pixels in (load_sample_image("china.jpg"), load_sample_image("flower.jpg"), data.coffee()):
        file = io.BytesIO()
        picture = PilImage.fromarray(pixels).resize(size, PilImage.Resampling.LANCZOS)
        picture.save(file, "JPEG", quality=90, **options)
        files.append(file.getvalue())
    return files


def fitted(load: Callable[[bytes], Image], data: bytes) -> Image:
    """Decoded and resized to the canvas: what a decode thread does for each image."""
    return fit(load(data), INFO)


def medians_ms(works: dict[str, Callable[[bytes], Any]], files: list[bytes]) -> dict[str, float]:
    """Median over the rounds of the mean over the files, in ms of processor time."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            work(files[0])  # brings its own memory and caches back
            start = time.thread_time()
            for data in files:
                work(data)
            seconds[name].append((time.thread_time() - start) / len(files))
    return {name: round(statistics.median(times) * 1e3, 2) for name, times in seconds.items()}


def freedom(seconds: float = 0.5) -> dict[str, float]:
    """How much a pure-Python thread still gets while another decodes: 1 = the GIL is released."""
    ticks, stop = [0], threading.Event()

    def spin() -> None:
        while not stop.is_set():
            ticks[0] += 1

    def ticks_while(work: Callable[[], Any]) -> int:
        before, end = ticks[0], time.perf_counter() + seconds
        while time.perf_counter() < end:
            work()
        return ticks[0] - before

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    data = photographs(SIZES["1080p"])[0]
    try:
        alone = ticks_while(partial(time.sleep, 0.01))
        shares = {
            way: round(ticks_while(partial(decode, data, key="", **options)) / alone, 2)
            for way, options in WAYS.items()
        }
    finally:
        stop.set()
        thread.join()
    return shares


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:<40} {value}")
