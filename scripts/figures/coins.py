"""A photograph of ten coins, annotated by a watershed, and four toy models trained on it.

For the figures of docs/methods.md: published weights are not at hand, and with random ones the
insides of a network show nothing. A toy has all parts of its family on a ResNet-18 of a quarter
of the width; it sees this one photograph and its mirror images, for about half a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from segcli.types import Batch, ModelInfo, Resize, Targets
from segcli_blocks.backbone import p3_to_p7
from segcli_blocks.normalize import Normalize
from segcli_blocks.resnet import ResNet, fixed_statistics

CANVAS = (128, 256)
CUT = (slice(158, 302), slice(10, 298))  # rows and columns of the photograph
WIDTH = 32
STEPS = 100
RATE = 2e-3


def photograph() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pixels (128, 256, 3) and the coins' masks (n, 128, 256)."""
    from skimage import data
    from skimage.transform import resize

    pixels = data.coins()
    labels = _watershed(pixels)[CUT]
    grey = resize(pixels[CUT], CANVAS, preserve_range=True, anti_aliasing=False).round()
    placed = resize(labels, CANVAS, order=0, preserve_range=True, anti_aliasing=False)
    masks = [placed == label for label in np.unique(labels) if label]
    kept = np.stack([mask for mask in masks if mask.sum() > 100])
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2), kept


def _watershed(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Which coin each pixel belongs to, 0: none. Bright and dark places grow until they meet at
    the strongest edges."""
    from scipy.ndimage import binary_fill_holes, label
    from skimage.filters import sobel
    from skimage.segmentation import watershed

    seeds = np.zeros(pixels.shape, np.int32)
    seeds[pixels < 30] = 1
    seeds[pixels > 150] = 2
    coins = binary_fill_holes(watershed(sobel(pixels), seeds) == 2)
    found: NDArray[np.int32] = label(coins)[0]
    return found


def batches() -> list[tuple[Batch, list[Targets]]]:
    """Twice two images: the photograph and its mirror images."""
    pixels, masks = photograph()
    image, mask = torch.from_numpy(pixels).permute(2, 0, 1), torch.from_numpy(masks)
    pairs = []
    for upside_down in (False, True):
        views = []
        for mirrored in (False, True):
            axes = [axis for axis, wanted in ((-2, upside_down), (-1, mirrored)) if wanted]
            views.append((image.flip(axes), mask.flip(axes)))
        batch = Batch(("a", "b"), torch.stack([v[0] for v in views]), (CANVAS,) * 2, (CANVAS,) * 2)
        pairs.append((batch, [_targets(v[1]) for v in views]))
    return pairs


def _targets(masks: torch.Tensor) -> Targets:
    boxes = []
    for mask in masks:
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    n = len(masks)
    box = torch.tensor(boxes, dtype=torch.float32)
    return Targets(torch.zeros(n).long(), box, masks, torch.zeros(n).bool())


def trained(family: str) -> Any:
    """A toy of the family that knows the coins, in eval mode."""
    torch.manual_seed(0)
    model = _TOYS[family]()
    pairs = batches()
    learned = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(learned, lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    model.train()
    for step in range(STEPS):
        optimiser.zero_grad()
        sum(model.losses(*pairs[step % 2]).values()).backward()
        torch.nn.utils.clip_grad_norm_(learned, 10.0)
        optimiser.step()
        schedule.step()
    return model.eval()


def _info(family: str) -> ModelInfo:
    return ModelInfo(family, "toy", ("coin",), (1,), Resize(*CANVAS, mode="stretch"), 32)


def _embedmask() -> nn.Module:
    from segcli_embedmask.heads import Head
    from segcli_embedmask.model import EmbedMask, Options

    return EmbedMask(
        _info("embedmask"),
        backbone=p3_to_p7(ResNet(18, nn.BatchNorm2d, width=16), WIDTH),
        head=Head(WIDTH, 1, width=WIDTH, depth=2),
        normalize=Normalize((127.5,) * 3, (64.0,) * 3),
        options=Options(sizes=(32, 64, 128, 256)),
    )


def _condinst() -> nn.Module:
    from segcli_condinst.variants import assemble

    body = ResNet(18, nn.BatchNorm2d, width=16)
    model = assemble(_info("condinst"), body, widths=(WIDTH, WIDTH))
    body.requires_grad_(True)
    model.normalize = Normalize((127.5,) * 3, (64.0,) * 3)
    model.sizes_of_interest = model.sizes_of_interest // 2
    return model


def _yolact() -> nn.Module:
    from segcli_yolact.model import YOLACT, Options
    from segcli_yolact.variants import anchors_for

    body = ResNet(18, nn.BatchNorm2d, width=16)
    model = YOLACT(
        _info("yolact"), body, inputs=body.channels[1:], width=WIDTH, prototypes=8,
        options=Options(anchors_for(CANVAS[1], plus=False)),
    )  # fmt: skip
    model.initialise()
    return model


def _solo() -> nn.Module:
    from segcli_solo.heads import DynamicHead, Features
    from segcli_solo.model import SOLO, Options
    from segcli_solo.targets import Learning
    from segcli_solo.variants import pyramid

    ranges = ((1, 24), (12, 48), (24, 96), (48, 192), (96, 512))
    features = Features(WIDTH, WIDTH, WIDTH)
    body = ResNet(18, fixed_statistics, width=16)
    return SOLO(
        replace(_info("solo"), variant="solov2-r50"),
        backbone=pyramid(body, WIDTH),
        head=DynamicHead(
            WIDTH, 1, grids=(20, 16, 12, 8, 6), width=WIDTH, depth=2, features=features
        ),
        options=Options(Learning(ranges)),
    )


_TOYS: dict[str, Callable[[], nn.Module]] = {
    "embedmask": _embedmask,
    "condinst": _condinst,
    "yolact": _yolact,
    "solo": _solo,
}
