"""The recorded head of EmbedMask: its weights, or its outputs replayed."""

from kit.parity import weights
from torch import nn

from segcli.types import ModelInfo, Resize
from segcli_blocks import fcos
from segcli_blocks.normalize import Normalize
from segcli_embedmask.convert import renamed
from segcli_embedmask.heads import Head
from segcli_embedmask.model import EmbedMask, Options
from segcli_embedmask.variants import MEAN

LEVELS = ("p3", "p4", "p5", "p6", "p7")


def info(classes):
    names = tuple(str(i) for i in range(classes))
    resize = Resize(800, 1333, rounding="floor")
    return ModelInfo("embedmask", "r50-fpn", names, tuple(range(1, classes + 1)), resize, 32)


def model_with(head, classes):
    """A model whose maps come from elsewhere."""
    return EmbedMask(
        info(classes), backbone=nn.Identity(), head=head, normalize=Normalize(MEAN, (1.0,) * 3),
        options=Options(),
    )  # fmt: skip


def head_of(folder):
    """The head with the recorded weights, at their sizes."""
    state = renamed(weights(folder / "head_state.safetensors"))
    state = {k.removeprefix("head."): v for k, v in state.items()}
    classes, width = state["fcos.cls_logits.weight"].shape[:2]
    depth = sum(k.startswith("mask_tower.") and v.dim() == 4 for k, v in state.items())
    dims = len(state["proposal_margin.bias"])
    head = Head(width, classes, width=width, depth=depth, dims=dims)
    head.load_state_dict(state)
    return head


class Replay(nn.Module):
    """Gives the head's recorded outputs, each a leaf that keeps its gradient."""

    strides = Head.strides

    def __init__(self, recorded):
        super().__init__()

        def leaves(name):
            return [recorded[f"{name}_{level}"].clone().requires_grad_() for level in LEVELS]

        logits, distances = leaves("cls_logits"), leaves("bbox_reg_train")
        self.dense = fcos.Dense(logits, distances, leaves("centerness"), logits)
        self.embedding, self.margin = leaves("proposal_embed"), leaves("proposal_margin")
        self.pixel = recorded["pixel_embed"].clone().requires_grad_()

    def forward(self, maps):
        return self.dense, self.pixel

    def proposals(self, dense, points, image, index):
        return fcos.flat(self.embedding)[image, index], fcos.flat(self.margin)[image, index]


def replayed(recorded, monkeypatch):
    """A model that makes the recorded outputs of whatever it is given."""
    head = Replay(recorded)
    model = model_with(head, recorded["cls_logits_p3"].shape[1])
    monkeypatch.setattr(
        model, "forward", lambda _: (head.dense, head.pixel, model.points(head.dense.logits))
    )
    return model
