"""The arms of the comparison, and how their heads are trained.

All arms have the frozen first stage of `maskrcnn/lite2` and fresh heads. Nothing below the heads
learns, so the heads do not influence each other. A head that two arms have in common would become
the same in both and is trained once: the box head of Mask R-CNN, PointRend and Mask Scoring R-CNN,
which is the first one of the cascade, and the mask head of Mask R-CNN and of the cascade.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from scripts.studies.heads_at_equal_budget.memory import RESIZE, Remembered, canvas_of, recall
from segcli.models import checkpoint, registry
from segcli.train.data import AnnotatedImage
from segcli.types import Targets
from segcli_blocks.rcnn.sampler import region_targets
from segcli_blocks.rcnn.two_stage import RoIHeads, TwoStage

ARMS = ("maskrcnn", "cascade", "pointrend", "maskscoring")  # the first is needed by the others
_FROZEN = ("backbone.", "rpn.")


@dataclass(frozen=True, slots=True)
class Budget:
    steps: int
    batch: int = 4
    rate: float = 1e-3
    warmup: int = 50  # steps
    regions: int = 64  # of an image that the heads learn from, half of what `segcli train` takes


def build(seed: int, arms: Sequence[str] = ARMS) -> dict[str, TwoStage]:
    """The model of each arm, with shared heads where arms have the same."""
    _, weights = checkpoint.load(registry.shipped("maskrcnn")["lite2"])
    frozen = {n: t.float() for n, t in weights.items() if n.startswith(_FROZEN)}
    models = {}
    for arm in arms:
        torch.manual_seed(seed)
        family, info = registry.find(f"{arm}/lite2")
        model = family.build(replace(info, resize=RESIZE))
        assert isinstance(model, TwoStage)
        missing, surplus = model.load_state_dict(frozen, strict=False)
        assert not surplus
        assert all(name.startswith("roi_heads.") for name in missing)
        model.backbone.requires_grad_(False)
        model.rpn.requires_grad_(False)
        models[arm] = model
    _share({arm: model.roi_heads for arm, model in models.items()})
    return models


def _share(heads: Mapping[str, RoIHeads]) -> None:
    plain = heads["maskrcnn"]
    for arm, own in heads.items():
        if arm == "cascade":
            assert isinstance(own.box_head, nn.ModuleList)
            assert isinstance(own.box_predictor, nn.ModuleList)
            own.box_head[0], own.box_predictor[0] = plain.box_head, plain.box_predictor
            own.mask_head, own.mask_predictor = plain.mask_head, plain.mask_predictor
        elif arm != "maskrcnn":
            own.box_head, own.box_predictor = plain.box_head, plain.box_predictor


def train(
    models: Mapping[str, TwoStage], rows: Sequence[AnnotatedImage], folder: Path, budget: Budget,
    seed: int,
) -> dict[str, float]:  # fmt: skip
    """AdamW, a short warm-up, a cosine. The losses at the end, and the seconds."""
    heads = {arm: model.roi_heads for arm, model in models.items()}
    groups = [list(group.parameters()) for group in _independent(heads)]
    learned = [p for group in groups for p in group]
    optimizer = torch.optim.AdamW(learned, lr=budget.rate, weight_decay=0.01, fused=True)
    order, recent = batches_of(rows, budget.batch, seed), dict[str, float]()
    start = time.monotonic()
    for step in range(budget.steps):
        images = [recall(folder, index) for index in next(order)]
        share = 0.5 * (1 + math.cos(math.pi * step / budget.steps))
        for options in optimizer.param_groups:
            options["lr"] = budget.rate * share * min(1.0, (step + 1) / budget.warmup)
        torch.manual_seed(seed * 1_000_003 + step)
        with torch.autocast("cpu", torch.bfloat16):
            losses = _losses(heads, images, budget.regions)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        for group in groups:  # each for itself, so that the heads stay independent
            nn.utils.clip_grad_norm_(group, 5.0)
        optimizer.step()
        for name, loss in losses.items():
            value = float(loss.detach())
            recent[name] = 0.98 * recent.get(name, value) + 0.02 * value
        if (step + 1) % 25 == 0:
            said = ", ".join(f"{name} {value:.3f}" for name, value in recent.items())
            print(f"step {step + 1}, {time.monotonic() - start:.0f} s: {said}", flush=True)
    return {"seconds": time.monotonic() - start, **recent}


def _independent(heads: Mapping[str, RoIHeads]) -> Iterator[nn.ModuleList]:
    """Heads that share nothing, whose gradients are limited one by one."""
    plain = heads["maskrcnn"]
    yield nn.ModuleList((plain.box_head, plain.box_predictor))
    yield nn.ModuleList((plain.mask_head, plain.mask_predictor))
    if cascade := heads.get("cascade"):
        for number in ("1", "2"):
            stage = (cascade.box_head, cascade.box_predictor)
            yield nn.ModuleList(layers.get_submodule(number) for layers in stage)
    if "pointrend" in heads:
        yield nn.ModuleList((heads["pointrend"].mask_head,))
    if scoring := heads.get("maskscoring"):
        yield nn.ModuleList(
            (scoring.mask_head, scoring.mask_predictor, scoring.get_submodule("maskiou"))
        )


def batches_of(rows: Sequence[AnnotatedImage], size: int, seed: int) -> Iterator[list[int]]:
    """Epoch after epoch, batches of images with one canvas, in an order that the seed decides."""
    rng = np.random.default_rng(seed)
    canvases = [canvas_of(row) for row in rows]
    while True:
        batches = []
        for canvas in sorted(set(canvases)):
            own = rng.permutation([i for i, c in enumerate(canvases) if c == canvas]).tolist()
            batches += [own[i : i + size] for i in range(0, len(own) - size + 1, size)]
        for place in rng.permutation(len(batches)):
            yield batches[place]


def _losses(
    heads: Mapping[str, RoIHeads], images: Sequence[Remembered], samples: int
) -> dict[str, Tensor]:
    """Of the same sampled regions: `class0` to `box2` of the cascade, and those of masks."""
    plain = heads["maskrcnn"]
    maps = [torch.cat(level) for level in zip(*(image.maps for image in images), strict=True)]
    targets: list[Targets] = [image.targets for image in images]
    sampled = [region_targets(i.proposals, i.targets, samples) for i in images]
    positive = [plain.learned(regions) for regions in sampled]
    contents = [image.content for image in images]
    most = heads.get("cascade", plain)  # its first stage is the box head of all others
    losses = most.box_losses(maps, sampled, targets, contents)
    for arm in heads:
        if arm == "cascade":
            continue
        found = heads[arm].mask_losses(maps, positive, targets)
        losses |= {f"{arm} {name}": loss for name, loss in found.items()}
    return losses
