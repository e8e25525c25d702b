"""Embeddings to objects at 512 x 512: our mean shift on a grid against the authors' procedure.

Crowded scenes (scripts/data/make_scenes.py) of which every object has a centre in eight
dimensions, at least 3 apart as the loss asks for, noise of 0.5 around it, and, as networks
give it, values in between along outlines. Both cluster all objects of a scene at once, theirs
from random beginnings as published. Processor seconds of one core, alternately; the ratio is to be
quoted, and the panoptic quality of both.
"""

from __future__ import annotations

import time
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scripts.data.make_scenes import Difficulty, make_scene
from scripts.studies import authors_clustering
from scripts.studies.panoptic_quality import Tally
from segcli_discriminative.masks import Clustering, cluster

SIDE, DIMENSIONS, SCENES, REPEATS = 512, 8, 4, 3


def main() -> dict[str, float]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures = {}
        for name, blend in (("outlines blended", 1), ("outlines sharp", 0)):
            figures |= {f"{name}, {key}": value for key, value in measure(blend).items()}
        return figures
    finally:
        torch.set_num_threads(threads)


def measure(blend: int) -> dict[str, float]:
    """Medians over scenes of `ours, s`, `theirs, s` and `ratio`; both panoptic qualities."""
    options = Clustering()
    fast, slow, ratios, objects = [], [], [], []
    ours, theirs = Tally(1), Tally(1)
    for number in range(SCENES):
        embedding, truth = embedded(number, blend)
        foreground = truth > 0
        pick = partial(_random, torch.Generator().manual_seed(number))
        times = []
        for _ in range(REPEATS):
            start = time.process_time()
            labels, _ = cluster(embedding, foreground, options)
            times.append(time.process_time() - start)
        start = time.process_time()
        published = authors_clustering.cluster(embedding, foreground, pick=pick)
        slow.append(time.process_time() - start)
        fast.append(median(times))
        ratios.append(slow[-1] / fast[-1])
        objects.append(int(truth.max()))
        for tally, found in ((ours, labels), (theirs, published)):
            _add(tally, found, truth)
    return {
        "objects": float(sum(objects)),
        "ours, s": median(fast),
        "theirs, s": median(slow),
        "ratio": median(ratios),
        "ours, PQ": ours.quality(),
        "theirs, PQ": theirs.quality(),
    }


def embedded(number: int, blend: int) -> tuple[Tensor, Tensor]:
    """A scene's embedding f32 (n, SIDE, SIDE) and objects i64 (SIDE, SIDE), 0 where none."""
    scene = make_scene(7, number, size=SIDE, difficulty=Difficulty.of(0.6))
    truth = torch.zeros(SIDE, SIDE, dtype=torch.int64)
    for label, mask in enumerate(scene.masks, 1):
        truth[torch.from_numpy(mask)] = label
    random = torch.Generator().manual_seed(number)
    centres = _apart(torch.randn(len(scene.masks) + 1, DIMENSIONS, generator=random) * 3)
    embedding = centres[truth].permute(2, 0, 1)
    side = 2 * blend + 1
    embedding = F.avg_pool2d(F.pad(embedding[None], (blend,) * 4, mode="replicate"), side, 1)[0]
    noise = torch.randn(embedding.shape, generator=random) * 0.5 / DIMENSIONS**0.5
    return embedding + noise, truth


def _apart(centres: Tensor, least: float = 3.0) -> Tensor:
    """Centres moved until every two are at least so far apart."""
    for _ in range(1000):
        steps = centres[:, None] - centres
        apart = steps.norm(dim=2)
        short = (least + 0.01 - apart).clamp(min=0).fill_diagonal_(0)
        if not short.any():
            break
        centres = centres + 0.3 * (short / apart.clamp(min=1e-6))[..., None].mul(steps).sum(1)
    return centres


def _random(generator: torch.Generator, points: Tensor, failures: int) -> int:
    return int(torch.randint(points.shape[1], (1,), generator=generator))


def _add(tally: Tally, found: Tensor, truth: Tensor) -> None:
    ours, theirs = found.numpy(), truth.numpy()
    tally.add(ours, np.zeros(ours.max(), int), theirs, np.zeros(theirs.max(), int))
