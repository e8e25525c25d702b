"""The common base of the networks of all families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segcli.errors import UsageError
from segcli.types import Batch, Instances, ModelInfo
from segcli_blocks.backbone import Body, Pretrained
from segcli_blocks.fuse import fuse
from segcli_blocks.normalize import Normalize


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects `predict` is asked for: see segcli.plugin.Segmenter."""

    min_score: float
    max_masks: int
    categories: frozenset[int] | None = None

    def best(self, scores: Tensor) -> Tensor:
        """Indices of at most `max_masks` of `scores` (n,) that reach `min_score`, best first."""
        order = scores.argsort(descending=True, stable=True)
        return order[scores[order] >= self.min_score][: self.max_masks]


class BaseSegmenter(nn.Module):
    """The info, the normalisation, and the optional hooks of segcli.plugin.

    A family's network adds `answer` and `losses`. Only a child that is `Pretrained`, as a
    `Backbone` is, can be calibrated or frozen; a network without one ignores these two hooks.
    """

    static: Callable[[Tensor], list[Tensor]]
    """See segcli.plugin.Compilable."""

    def __init__(self, info: ModelInfo, normalize: Normalize) -> None:
        super().__init__()
        self.info = info
        self.normalize = normalize
        self.compiled: Callable[[Tensor], list[Tensor]] | None = None

    def dense(self, batch: Batch) -> list[Tensor]:
        """The outputs of `static` for a batch, from the compiled network if there is one."""
        compute = self.compiled or self.static
        return compute(self.prepare(batch))

    def prepare(self, batch: Batch) -> Tensor:
        """What `static` takes: normalised images f32 (B, 3, H, W)."""
        found: Tensor = self.normalize(batch)
        return found

    @torch.inference_mode()
    def predict(
        self,
        batch: Batch,
        *,
        min_score: float,
        max_masks: int,
        categories: frozenset[int] | None = None,
    ) -> list[Instances]:
        """See segcli.plugin.Segmenter."""
        return self.answer(batch, Selection(min_score, max_masks, categories))

    def answer(self, batch: Batch, selection: Selection) -> list[Instances]:
        """What `predict` returns; called without gradients."""
        raise NotImplementedError

    def fuse(self, dtype: torch.dtype) -> None:
        """See segcli.plugin.Fusible."""
        fuse(self, dtype)

    def calibrate(self, batch: Batch) -> None:
        """See segcli.plugin.Calibratable: fits the pyramid to its body."""
        for part in self.children():
            if isinstance(part, Pretrained):
                part.calibrate(self.normalize(batch))

    def freeze_stem(self) -> None:
        """See segcli.plugin.Freezable: the layers up to the map of stride 4."""
        for part in self.children():
            if isinstance(part, Pretrained):
                part.freeze_stem()

    def freeze_stages(self, count: int) -> None:
        """See segcli.plugin.Staged."""
        bodies = [part for part in self.modules() if isinstance(part, Body)]
        if not bodies:
            raise UsageError(
                f"the body of {self.info.family}/{self.info.variant} has no stages that can be "
                "frozen; leave out `frozen`"
            )
        for body in bodies:
            stages = body.stages()
            if count > len(stages):
                raise UsageError(
                    f"{self.info.family}/{self.info.variant} has {len(stages)} stages, so {count} "
                    "of them cannot be frozen"
                )
            for number, layers in enumerate(stages):
                for layer in layers:
                    layer.requires_grad_(number >= count)


def keep_categories(
    scores: Tensor, categories: frozenset[int] | None, *, dim: int = -1, fill: float = 0.0
) -> Tensor:
    """`scores`, or flags, with `fill` (False) for all labels along `dim` that are not among
    `categories`; None keeps all."""
    if categories is None:
        return scores
    dropped = torch.ones(scores.shape[dim], dtype=torch.bool, device=scores.device)
    dropped[sorted(categories)] = False
    others = [1] * (scores.dim() - 1 - dim % scores.dim())
    return scores.masked_fill(dropped.view(-1, *others), fill)
