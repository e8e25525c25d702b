"""The heads of a recorded two-stage network, behind its recorded pyramid maps."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from segcli.types import Batch, ModelInfo, Resize, Size
from segcli_blocks.rcnn.conventions import Conventions
from segcli_blocks.rcnn.two_stage import TwoStage


class RecordedMaps(nn.Module):
    """A backbone that returns recorded maps, level 2 first."""

    def __init__(self, recording: dict[str, Tensor]) -> None:
        super().__init__()
        self.maps = [recording[f"fpn_p{level}"] for level in range(2, 7)]

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.maps


def recorded_heads(
    assemble: Callable[..., TwoStage],
    recording: dict[str, Tensor],
    state: dict[str, Tensor],
    conventions: Conventions,
    *,
    sizes: tuple[int, ...],
    per_level: int,
    **widths: int,
) -> TwoStage:
    """`state` has our names. `sizes` of the anchors and the candidates of a level, `per_level`, do
    not follow from the arrays; the recording's README has them."""
    state = {k: v for k, v in state.items() if not k.startswith("backbone.")}
    found = [v for k, v in state.items() if k.endswith("cls_score.weight")]
    positions, hidden = found[0].shape
    names = tuple(f"c{i}" for i in range(1, positions))
    info = ModelInfo("recorded", "toy", names, tuple(range(1, positions)), Resize(1, 1), 32)
    kept = len(recording["proposals_xyxy"])
    limits = {"per_level": (per_level, per_level), "proposals": (kept, kept)}
    model = assemble(
        info,
        RecordedMaps(recording),
        width=state["rpn.head.cls_logits.weight"].shape[1],
        hidden=hidden,
        conventions=replace(conventions, anchor_sizes=sizes, **limits),
        **widths,
    )
    model.load_state_dict(state)
    return model.eval()


def batch_of(content: Size, canvas: Size, original: Size, rgb: Tensor | None = None) -> Batch:
    """One image on its canvas; `rgb` uint8 (3, h, w), black where None."""
    pixels = torch.zeros((1, 3, *canvas), dtype=torch.uint8)
    if rgb is not None:
        pixels[0, :, : content[0], : content[1]] = rgb
    return Batch(("a",), pixels, (content,), (original,))
