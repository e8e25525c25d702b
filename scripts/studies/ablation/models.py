"""The models that the ablation compares: each family narrow, all on one kind of body."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from segcli.models.registry import families
from segcli.plugin import Trainable
from segcli.types import ModelInfo, Resize
from segcli_blocks.backbone import p3_to_p7
from segcli_blocks.mobilenet import MobileNetV2, from_imagenet
from segcli_blocks.normalize import SYMMETRIC, Normalize
from segcli_blocks.resnet import ResNet

DEPTH = 2  # layers of a tower
# Name -> (excavate, purify); the order of the paper's table.
SWITCHES = {
    "baseline": (False, False),
    "excavate": (True, False),
    "purify": (False, True),
    "both": (True, True),
}
FAMILIES = ("maskrcnn", "embedmask", "solo", "condinst", "discriminative", "watershed")


class Remembered(nn.Module):
    """A body that does not learn, so its maps of an image are computed once and kept.

    The images of a training without random crops come again and again; the body would be half of
    the work. Maps are kept as float16, by the bytes of the image.
    """

    def __init__(self, body: MobileNetV2) -> None:
        super().__init__()
        self.body = body.requires_grad_(False)
        self.channels = body.channels
        self.known: dict[bytes, list[Tensor]] = {}

    @torch.no_grad()
    def forward(self, x: Tensor) -> list[Tensor]:
        names = [image[:, ::2, ::3].contiguous().cpu().numpy().tobytes() for image in x]
        fresh = [i for i, name in enumerate(names) if name not in self.known]
        if fresh:
            for i, *maps in zip(fresh, *self.body(x[fresh]), strict=True):
                self.known[names[i]] = [m.half() for m in maps]
        found = zip(*(self.known[name] for name in names), strict=True)
        return [torch.stack(maps).float() for maps in found]

    def freeze(self) -> None:
        """It never learns anyway."""


@dataclass(frozen=True, slots=True)
class Body:
    """What all models stand on: a frozen MobileNetV2 that remembers, or, without ImageNet weights,
    a narrow ResNet-18 that every model learns from nothing."""

    remembered: Remembered | None

    @staticmethod
    def of(imagenet: Path | None) -> Body:
        if imagenet is None:
            return Body(None)
        body = MobileNetV2()
        state = torch.load(imagenet, map_location="cpu", weights_only=True)
        body.load_state_dict(from_imagenet(state, ""))
        return Body(Remembered(body))

    def new(self) -> Remembered | ResNet:
        if self.remembered is not None:
            return self.remembered
        return ResNet(18, nn.BatchNorm2d, width=16)

    @property
    def name(self) -> str:
        return "ResNet-18/4, learning" if self.remembered is None else "MobileNetV2, frozen"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a model is built for: categories, px of a side, channels, and PEP's [D] choices as
    overrides of `segcli_pep.model.Options` and of its `sampling`."""

    categories: tuple[str, ...]
    ids: tuple[int, ...]
    side: int
    width: int
    choices: dict[str, object]


def build(name: str, plan: Plan, body: Body) -> Trainable:
    """`name`: one of SWITCHES, or of FAMILIES. Random weights but for the body."""
    info = next(iter(families()[name if name in FAMILIES else "pep"].variants.values()))
    info = replace(
        info, categories=plan.categories, category_ids=plan.ids, resize=Resize(plan.side, plan.side)
    )
    builder: Callable[[ModelInfo, Plan, Body], Trainable] = _OTHERS.get(name, _pep_of(name))
    return builder(info, plan, body)


def _pep_of(name: str) -> Callable[[ModelInfo, Plan, Body], Trainable]:
    def pep(info: ModelInfo, plan: Plan, body: Body) -> Trainable:
        from segcli_pep.model import Options
        from segcli_pep.targets import Sampling
        from segcli_pep.variants import assemble, ranges_for

        excavate, purify = SWITCHES[name]
        known = {f for f in Sampling.__dataclass_fields__}
        chosen = {k: v for k, v in plan.choices.items() if k in known}
        sampling = replace(Sampling(ranges_for(plan.side)), **chosen)
        options = Options(sampling, width=plan.width, depth=DEPTH, hidden=24, window=9)
        rest = {k: v for k, v in plan.choices.items() if k not in known}
        return assemble(
            info, body.new(), normalize=Normalize(*SYMMETRIC), options=replace(options, **rest),
            excavate=excavate, purify=purify,
        )  # fmt: skip

    return pep


def _embedmask(info: ModelInfo, plan: Plan, body: Body) -> Trainable:
    from segcli_embedmask.heads import Head
    from segcli_embedmask.model import EmbedMask, Options

    head = Head(plan.width, len(plan.categories), width=plan.width, depth=DEPTH)
    return EmbedMask(
        info,
        backbone=p3_to_p7(body.new(), plan.width),
        head=head,
        normalize=Normalize(*SYMMETRIC),
        options=Options(sizes=(32, 64, 128, 256)),
    )


def _condinst(info: ModelInfo, plan: Plan, body: Body) -> Trainable:
    from segcli_blocks.fcos import FCOSHead
    from segcli_condinst.heads import MaskBranch
    from segcli_condinst.model import STRIDES, CondInst, Options

    width, classes = plan.width, len(plan.categories)
    model = CondInst(
        info,
        backbone=p3_to_p7(body.new(), width),
        head=FCOSHead(width, classes, width=width, depth=DEPTH, levels=len(STRIDES)),
        mask_branch=MaskBranch(width, width),
        normalize=Normalize(*SYMMETRIC),
        options=Options(),
    )
    model.sizes_of_interest = model.sizes_of_interest // 2
    return model


def _solo(info: ModelInfo, plan: Plan, body: Body) -> Trainable:
    from segcli_solo.heads import DynamicHead, Features
    from segcli_solo.model import SOLO, Options
    from segcli_solo.targets import Learning
    from segcli_solo.variants import GRIDS, pyramid

    width = plan.width
    scale = max(plan.side, 320) / 800  # as PEP's levels
    ranges = ((1, 96), (48, 192), (96, 384), (192, 768), (384, math.inf))
    learning = Learning(tuple((a * scale, b * scale) for a, b in ranges))
    grids = tuple(max(2, grid // 2) for grid in GRIDS)
    features = Features(width, width, width)
    head = DynamicHead(
        width, len(plan.categories), grids=grids, width=width, depth=DEPTH, features=features
    )
    return SOLO(info, backbone=pyramid(body.new(), width), head=head, options=Options(learning))


def _maskrcnn(info: ModelInfo, plan: Plan, body: Body) -> Trainable:
    from segcli_maskrcnn.variants import LIGHT, mobilenet

    # Scenes have some six objects, so a quarter of the shipped model's regions is plenty.
    conventions = replace(LIGHT, region_samples=32)
    model = mobilenet(info, width=plan.width, depth=DEPTH, conventions=conventions)
    if body.remembered is not None:
        model.backbone.body = body.new()
    return model


def _discriminative(info: ModelInfo, plan: Plan, body: Body) -> Trainable:
    from segcli_discriminative.variants import assemble

    return assemble(info, body.new(), width=plan.width, normalize=Normalize(*SYMMETRIC))


def _watershed(info: ModelInfo, plan: Plan, body: Body) -> Trainable:
    from segcli_watershed.variants import assemble

    return assemble(info, body.new(), width=plan.width, normalize=Normalize(*SYMMETRIC))


_OTHERS: dict[str, Callable[[ModelInfo, Plan, Body], Trainable]] = {
    "maskrcnn": _maskrcnn,
    "embedmask": _embedmask,
    "condinst": _condinst,
    "solo": _solo,
    "discriminative": _discriminative,
    "watershed": _watershed,
}
