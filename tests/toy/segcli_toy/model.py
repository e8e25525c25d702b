"""A network of one parameter: by how much a colour must outshine the two others."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from segcli.types import Batch, Instances, ModelInfo


class Toy(nn.Module):
    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        self.info = info
        self.margin = nn.Parameter(torch.tensor(0.25))
        self.compiled: Callable[[Tensor], list[Tensor]] | None = None

    def static(self, x: Tensor) -> list[Tensor]:
        """Pixels in 0..1 (B, 3, Hc, Wc) -> by how much each colour outshines the others."""
        others = torch.stack([x[:, 1:].amax(1), x[:, ::2].amax(1), x[:, :2].amax(1)], 1)
        return [x - others]

    def predict(
        self,
        batch: Batch,
        *,
        min_score: float,
        max_masks: int,
        categories: frozenset[int] | None = None,
    ) -> list[Instances]:
        compute = self.compiled or self.static
        (lead,) = compute(batch.pixels.float() / 255)
        fields = (lead - self.margin + 0.5).clamp(0, 1)  # the mask is where this reaches 0.5
        allowed = [label for label in range(3) if categories is None or label in categories]
        return [
            self._instances(lead[b], fields[b], allowed, min_score, max_masks)
            for b in range(len(lead))
        ]

    def _instances(
        self, lead: Tensor, fields: Tensor, allowed: list[int], min_score: float, max_masks: int
    ) -> Instances:
        """`lead`, `fields` (3, Hc, Wc); the score is the mean lead within the mask."""
        inside = fields >= 0.5
        scores = (lead * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)  # (3,)
        ranked = [label for label in scores.argsort(descending=True).tolist() if label in allowed]
        keep = [label for label in ranked if scores[label] >= min_score and inside[label].any()][
            :max_masks
        ]
        height, width = lead.shape[1:]
        extent = torch.tensor([[0.0, 0.0, width, height]], device=lead.device)
        return Instances(
            scores=scores[keep],
            labels=torch.tensor(keep, dtype=torch.int64, device=lead.device),
            boxes=None,  # then taken from the mask
            fields=fields[keep],
            extents=extent.expand(len(keep), 4),
            outside="clamp",
        )
