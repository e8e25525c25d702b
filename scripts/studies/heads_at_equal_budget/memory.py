"""What the frozen first stage finds in the training images, computed once and kept on disk.

Images have one of two sizes and are not augmented, so that the maps and proposals of an image never
change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segcli.train.augment import Augmentation
from segcli.train.data import AnnotatedImage
from segcli.train.loader import BatchPlan, load_epoch
from segcli.types import Resize, Size, Targets
from segcli_blocks.rcnn.two_stage import TwoStage

RESIZE = Resize(short=320, long=448)
LEVELS = 4  # maps of strides 4 to 32, which the heads see


@dataclass(frozen=True, slots=True)
class Remembered:
    """One image: `maps` (1, C, h, w) finest first, `proposals` (n, 4), its targets and content."""

    maps: list[Tensor]
    proposals: Tensor
    targets: Targets
    content: Size


def canvas_of(row: AnnotatedImage) -> Size:
    """The canvas of an image, lying or standing."""
    sides = RESIZE.short, RESIZE.long
    return sides if row.aspect <= 1 else (sides[1], sides[0])


def remember(model: TwoStage, rows: Sequence[AnnotatedImage], folder: Path) -> None:
    """Write a file for each row that has none yet."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(len(rows)) if not path_of(folder, i).exists()]
    plans = [BatchPlan((i,), canvas_of(rows[i])) for i in missing]
    pairs = load_epoch(rows, plans, augmentation=Augmentation.none(), seed=0, epoch=0, workers=1)
    model.eval()
    model.rpn.training = True  # as many proposals as in training
    for count, (i, (batch, targets)) in enumerate(zip(missing, pairs, strict=True), 1):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            maps, scored = model.first_stage(batch)
            (proposals,) = model.rpn.propose(scored, batch.content_sizes)
        whole = path_of(folder, i)
        part = whole.with_suffix(".part")
        torch.save(packed(maps[:LEVELS], proposals, targets[0], batch.content_sizes[0]), part)
        part.rename(whole)
        if count % 200 == 0:
            print(f"remembered {count} of {len(missing)} images", flush=True)
    model.rpn.training = False


def path_of(folder: Path, index: int) -> Path:
    return folder / f"{index:05}.pt"


def packed(maps: Sequence[Tensor], proposals: Tensor, target: Targets, content: Size) -> Any:
    """What is saved; eight pixels of a mask are a byte."""
    masks = target.masks.flatten(1).numpy()
    return {
        "maps": [m.bfloat16().contiguous() for m in maps],
        "proposals": proposals.float(),
        "content": list(content),
        "shape": list(target.masks.shape),
        "masks": torch.from_numpy(np.packbits(masks, axis=1)),
        **{
            name: getattr(target, name)
            for name in ("labels", "boxes", "crowd", "exhaustive", "outlined")
        },
    }


def recall(folder: Path, index: int) -> Remembered:
    """What `remember` wrote for a row."""
    found = torch.load(path_of(folder, index), weights_only=True)
    count, height, width = found["shape"]
    bits = np.unpackbits(found["masks"].numpy(), axis=1, count=height * width)
    masks = torch.from_numpy(bits.reshape(count, height, width).astype(np.bool_))
    names = ("labels", "boxes", "crowd", "exhaustive", "outlined")
    targets = Targets(masks=masks, **{name: found[name] for name in names})
    content = (found["content"][0], found["content"][1])
    return Remembered(found["maps"], found["proposals"], targets, content)
