"""The recorded head of EmbedMask in a model, for the parity tests."""

import torch
from safetensors.torch import load_file
from torch import nn

from segcli.types import ModelInfo, Resize
from segcli_blocks.pixels import Normalise
from segcli_embedmask.convert import renamed
from segcli_embedmask.model import EmbedMask, Head, Options
from segcli_embedmask.variants import MEAN

LEVELS = ("p3", "p4", "p5", "p6", "p7")


def info(classes):
    names = tuple(str(i) for i in range(classes))
    resize = Resize(800, 1333, rounding="floor")
    return ModelInfo("embedmask", "r50-fpn", names, tuple(range(1, classes + 1)), resize, 32)


def head_model(folder):
    """The recorded head in a model without a backbone."""
    state = renamed(load_file(folder / "head_state.safetensors"))
    state = {k.removeprefix("head."): v for k, v in state.items()}
    classes, width = state["fcos.cls_logits.weight"].shape[:2]
    depth = sum(k.startswith("mask_tower.") and v.dim() == 4 for k, v in state.items())
    dims = len(state["proposal_margin.bias"])
    head = Head(width, classes, width=width, depth=depth, dims=dims)
    head.load_state_dict(state)
    return EmbedMask(
        info(classes), backbone=nn.Identity(), head=head, normalise=Normalise(MEAN, (1.0,) * 3),
        options=Options(),
    )  # fmt: skip


def run(model, recorded):
    """The head on the recorded maps, which are leaves: (maps, dense, pixels, points)."""
    maps = [recorded[level].clone().requires_grad_() for level in LEVELS]
    dense, pixels = model.head(maps)
    return maps, dense, pixels, model.points(maps)


def everywhere(model, dense, points, level, shape):
    """Embeddings and margins of a whole level, (B, D, h, w)."""
    b, d, h, w = shape
    index = (points.level == level).nonzero()[:, 0].repeat(b)
    image = torch.arange(b).repeat_interleave(h * w)
    found = model.proposals(dense, points, image, index)
    return [f.view(b, h, w, d).permute(0, 3, 1, 2) for f in found]
