"""JPEGs decoded by the GPU (nvJPEG, through torchvision), and by the CPU."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import torch

from scripts.gpu_check.place import Figures, Place
from segcli.images import decode

_BATCH = 16


def check(place: Place) -> Figures:
    paths = sorted(place.photographs(place.count(64)).iterdir())
    encoded = [path.read_bytes() for path in paths]
    threads = min(16, len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(threads) as pool:
        run = lambda data: decode(data, key="").pixels  # noqa: E731
        list(pool.map(run, encoded))
        start = time.perf_counter()
        ours = list(pool.map(run, encoded))
        yield f"CPU, {threads} threads: images/s", len(encoded) / (time.perf_counter() - start)
    if not place.on_gpu:
        yield "left out", "nvJPEG needs a GPU"
        return
    from torchvision.io import ImageReadMode, decode_jpeg

    batches = [
        [torch.frombuffer(bytearray(data), dtype=torch.uint8) for data in encoded[at : at + _BATCH]]
        for at in range(0, len(encoded), _BATCH)
    ]

    def all_of_them() -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        for batch in batches:
            found += decode_jpeg(batch, mode=ImageReadMode.RGB, device="cuda")
        torch.cuda.synchronize()
        return found

    all_of_them()
    start = time.perf_counter()
    theirs = all_of_them()
    yield "nvJPEG: images/s", len(encoded) / (time.perf_counter() - start)
    pairs = zip(ours, theirs, strict=True)
    apart = torch.stack(
        [(torch.from_numpy(a).permute(2, 0, 1).int() - b.cpu().int()).abs() for a, b in pairs]
    )
    yield "largest difference of a value", int(apart.max())
    yield "mean difference of a value", float(apart.float().mean())
    yield "share of equal values", float((apart == 0).float().mean())
