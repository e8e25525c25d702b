"""The region proposal network (Ren et al. 2015, section 3; Lin et al. 2017, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from segcli.types import Size, Targets
from segcli_blocks.rcnn import whole_batch
from segcli_blocks.rcnn.anchors import anchors_of
from segcli_blocks.rcnn.box_coder import clip, decode, whole
from segcli_blocks.rcnn.conventions import Conventions
from segcli_blocks.rcnn.losses import rpn_losses


@dataclass(frozen=True, slots=True)
class Scored:
    """Level by level, flat like `anchors` (n_l, 4): `logits` (B, n_l, 1), `deltas` (B, n_l, 4)."""

    logits: list[Tensor]
    deltas: list[Tensor]
    anchors: list[Tensor]


class RPN(nn.Module):
    """Holds the head under the name of the published checkpoints, `head`: maps -> lists of
    objectness (B, n, h, w) and deltas (B, 4 n, h, w) of n anchors at each place, as torchvision's
    RPNHead gives them."""

    def __init__(self, head: nn.Module, conventions: Conventions) -> None:
        super().__init__()
        self.head = head
        self.conventions = conventions

    def forward(
        self,
        maps: Sequence[Tensor],
        logits: Sequence[Tensor],
        deltas: Sequence[Tensor],
        canvas: Size,
    ) -> Scored:
        """What the head finds in maps (B, width, h, w), finest first, of a canvas of (height,
        width) px."""
        shapes = [(m.shape[-2], m.shape[-1]) for m in maps]
        anchors = _anchors_on(maps[0].device, tuple(shapes), canvas, self.conventions)
        return Scored(flatten(logits, 1), flatten(deltas, 4), list(anchors))

    def propose(self, scored: Scored, contents: Sequence[Size]) -> list[Tensor]:
        """Proposals (n_b, 4) per image, best first."""
        if whole_batch.pays(scored.logits[0]) and not self.training:
            logits = [level[..., 0] for level in scored.logits]
            return whole_batch.propose(
                logits, scored.deltas, scored.anchors, contents, self.conventions
            )
        return [
            propose(
                [level[b, :, 0].detach() for level in scored.logits],
                [level[b].detach() for level in scored.deltas],
                scored.anchors,
                content,
                conventions=self.conventions,
                training=self.training,
            )
            for b, content in enumerate(contents)
        ]

    def losses(self, scored: Scored, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """`objectness` and `proposal_box`."""
        logits, deltas = torch.cat(scored.logits, 1)[..., 0], torch.cat(scored.deltas, 1)
        objectness, box = rpn_losses(
            logits,
            deltas,
            torch.cat(scored.anchors),
            targets,
            self.conventions.beta,
            inclusive=self.conventions.inclusive,
        )
        return {"objectness": objectness, "proposal_box": box}


@lru_cache(maxsize=8)
def _anchors_on(
    device: torch.device, shapes: tuple[Size, ...], canvas: Size, conventions: Conventions
) -> tuple[Tensor, ...]:
    """The anchors of a canvas, which are copied to a GPU only once."""
    with torch.inference_mode(False):  # a training may use them, too
        return tuple(level.to(device) for level in anchors_of(shapes, canvas, conventions))


def flatten(maps: Sequence[Tensor], values: int) -> list[Tensor]:
    """(B, n * values, h, w) a level -> (B, h * w * n, values), float32, in the anchors' order."""
    shape = (-1, values)
    return [m.float().unflatten(1, shape).permute(0, 3, 4, 1, 2).flatten(1, 3) for m in maps]


def propose(
    scores: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Sequence[Tensor],
    content: Size,
    *,
    conventions: Conventions,
    training: bool,
) -> Tensor:
    """One image: logits (n_l,) and deltas (n_l, 4) a level -> proposals (<= `proposals`, 4)."""
    inclusive = conventions.inclusive
    boxes, logits, level_of = [], [], []
    for level, (score, delta, anchor) in enumerate(zip(scores, deltas, anchors, strict=True)):
        top, index = score.topk(min(conventions.per_level[training], len(score)))
        weights = (1.0, 1.0, 1.0, 1.0)
        decoded = decode(
            delta[index], anchor[index], weights, inclusive=inclusive, both=conventions.mmdet1
        )
        boxes.append(decoded[:, 0])
        logits.append(top)
        level_of.append(torch.full_like(index, level))
    box, rank, of = torch.cat(boxes), torch.cat(logits), torch.cat(level_of)
    rank = rank if conventions.rank_logits else rank.sigmoid()
    box = clip(box, content, inclusive=inclusive)
    ends = whole(box, inclusive=inclusive)
    large = (ends[:, 2:] - ends[:, :2]).amin(1) >= conventions.smallest
    box, ends, rank, of = box[large], ends[large], rank[large], of[large]
    keep = batched_nms(ends, rank, of, conventions.proposal_iou)
    return box[keep[: conventions.proposals[training]]]
