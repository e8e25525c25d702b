"""Every family on the device and on the CPU: the same random weights, the same pictures, float32.

Layers are compared by their outputs where the network does not yet depend on what it has found (one
item for each image), objects by the masks that they become.
"""

from __future__ import annotations

import copy
import sys
import traceback
from dataclasses import replace
from typing import Any

import torch
from pycocotools import mask as coco
from torch import Tensor, nn

from scripts.gpu_check.checkout import ROOT
from scripts.gpu_check.place import Figures, Place, resized, tf32
from segcli.masks.sampling import segments
from segcli.models.registry import families
from segcli.types import Batch, Segment

SIDE = 256  # px of the canvas
IMAGES = 2
MOST = 30  # objects of an image
SAME_IOU = 0.99


def check(place: Place) -> Figures:
    failed = []
    for name, family in families().items():
        try:
            with tf32(convolutions=False, matrices=False):
                layers, ours, found, close = compare(place, build(name, family))
            yield f"{name}: largest difference of a layer, of its maximum", layers
            yield f"{name}: objects on the CPU, on the device, alike", f"{ours}, {found}, {close}"
        except Exception:
            failed.append(name)
            yield f"{name}: error", traceback.format_exc()[-1500:]
    if failed:
        raise AssertionError(f"failed: {', '.join(failed)}")


def build(name: str, family: Any) -> Any:
    """The default variant for a small canvas, or what the tests build where it is large."""
    sys.path.append(str(ROOT / "tests/plugins"))
    import eomt_toy
    import rfdetr_toy

    sys.path.pop()
    narrow = {"eomt": eomt_toy.build, "rfdetr": rfdetr_toy.build}
    torch.manual_seed(0)
    info = resized(next(iter(family.variants.values())), 128 if name in narrow else SIDE)
    return narrow.get(name, family.build)(info).eval().to(memory_format=torch.channels_last)


def compare(place: Place, model: Any) -> tuple[float, int, int, int]:
    """(largest relative difference of a layer, objects there, objects here, objects alike)."""
    side = model.info.resize.short
    pixels = torch.randint(0, 256, (IMAGES, 3, side // 16, side // 16), dtype=torch.uint8)
    pixels = pixels.repeat_interleave(16, 2).repeat_interleave(16, 3)  # tiles of plain colours
    sizes = ((side, side),) * IMAGES
    batch = Batch(("a", "b"), pixels.contiguous(memory_format=torch.channels_last), sizes, sizes)
    other = copy.deepcopy(model).to(place.device)
    moved = replace(batch, pixels=pixels.to(place.device))
    before, expected = outputs(model, batch)
    after, found = outputs(other, moved)
    worst = max(map(difference, before.values(), (after[name] for name in before)), default=0.0)
    alike = sum(map(matching, expected, found))
    return worst, sum(map(len, expected)), sum(map(len, found)), alike


def outputs(model: Any, batch: Batch) -> tuple[dict[str, Tensor], list[list[Segment]]]:
    """What the layers answer, by name, and the objects of each image."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            if isinstance(output, Tensor) and len(output) == IMAGES and output.is_floating_point():
                seen[name] = output.detach().cpu().float().clone()

        return hook

    hooks = [m.register_forward_hook(keep(n)) for n, m in model.named_modules()]
    with torch.inference_mode():
        found = model.predict(batch, min_score=0.0, max_masks=MOST)
        sizes = zip(found, batch.content_sizes, batch.image_sizes, strict=True)
        objects = [segments(f, content_size=c, image_size=s) for f, c, s in sizes]
    for hook in hooks:
        hook.remove()
    return seen, objects


def difference(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape or not one.numel():
        return float("nan")
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-12))


def matching(expected: list[Segment], found: list[Segment]) -> int:
    """How many of `expected` are found with the same label, nearly the same score and mask."""
    left, size = list(found), [SIDE, SIDE]
    count = 0
    for one in expected:
        for other in left:
            if one.label != other.label or abs(one.score - other.score) > 1e-3:
                continue
            masks = [[{"size": size, "counts": s.rle}] for s in (one, other)]
            if coco.iou(*masks, [0])[0, 0] >= SAME_IOU:
                left.remove(other)
                count += 1
                break
    return count
