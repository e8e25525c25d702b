"""YOLACT (Bolya et al., ICCV 2019) and YOLACT++ (2019, section 6), in reading order.

A network over the whole image makes k prototypes; every prior predicts a class, a box and k
coefficients. An object's mask is the sigmoid of the sum of the prototypes times its coefficients
(eq. 1), cropped to its box.

Letters: B images, P priors of all levels, A priors per cell, C categories, k prototypes, n
detections; H, W the canvas; h, w the grid of prototypes (a quarter).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image

from segcli.types import Batch, Instances, ModelInfo, Size, Targets
from segcli_blocks.nms import fast_nms
from segcli_blocks.normalize import Normalize
from segcli_blocks.segmenter import BaseSegmenter, Selection, keep_categories
from segcli_blocks.soft_masks import dynamic_conv
from segcli_yolact.heads import (
    FPN,
    Anchors,
    Head,
    Rescore,
    decode,
    priors_of,
    prototype_net,
    shapes_of,
)
from segcli_yolact.losses import losses
from segcli_yolact.masks import cropped, windows
from segcli_yolact.targets import Learning, Truth, truth_of

STATISTICS = (123.68, 116.78, 103.94), (58.40, 57.12, 57.38)  # the authors' mean and deviation
FEW = 6  # images: batches smaller than this use the running statistics of the norms


@dataclass(frozen=True, slots=True)
class Options:
    """What the authors' configuration leaves open; the defaults are theirs."""

    anchors: Anchors
    iou: float = 0.5  # above which a detection suppresses another of its class
    per_class: int = 200  # candidates of a class that enter suppression
    cross_class: bool = False  # suppress across classes; each prior then has its best class only
    learning: Learning = Learning()


@dataclass(frozen=True, slots=True)
class Raw:
    """The network's outputs: `boxes` (B, P, 4) relative to `priors` (P, 4), `logits`
    (B, P, C + 1) with the background first, `coefficients` (B, P, k) in -1..1, `prototypes`
    (B, k, h, w) >= 0, and `semantic` logits (B, C, H/8, W/8), None outside training."""

    priors: Tensor
    boxes: Tensor
    logits: Tensor
    coefficients: Tensor
    prototypes: Tensor
    semantic: Tensor | None


@dataclass(frozen=True, slots=True)
class Detections:
    """Detections of one image, best first: `boxes` (n, 4) xyxy relative to the canvas, not
    clipped; `scores`, `labels` (n,); `coefficients` (n, k)."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    coefficients: Tensor


class YOLACT(BaseSegmenter):
    """Body, pyramid, prototypes and head, and how masks come out of them."""

    def __init__(
        self,
        info: ModelInfo,
        body: nn.Module,
        *,
        inputs: Sequence[int],
        width: int,
        prototypes: int,
        options: Options,
        normalize: Normalize | None = None,
    ) -> None:
        super().__init__(info, normalize or Normalize(*STATISTICS))
        classes = len(info.categories)
        self.options = options
        self.body = body
        self.fpn = FPN(inputs, width)
        self.prototypes = prototype_net(width, prototypes)
        self.head = Head(width, classes, prototypes=prototypes, per_cell=options.anchors.per_cell)
        self.semantic = nn.Conv2d(width, classes, 1)
        self.rescore: Rescore | None = None

    def initialise(self) -> None:
        """All but the body as the authors do."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and not name.startswith("body."):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def static(self, x: Tensor) -> list[Tensor]:
        """See segcli.plugin.Compilable: the outputs at every prior, the prototypes, and in training
        the semantic logits."""
        maps = self.fpn(self.body(x)[1:])
        found = [*self.head(maps), self.prototypes(maps[0]).float()]
        return [*found, self.semantic(maps[0]).float()] if self.training else found

    def forward(self, batch: Batch) -> Raw:
        return self.raw(self.dense(batch), (batch.pixels.shape[-2], batch.pixels.shape[-1]))

    def raw(self, tensors: Sequence[Tensor], canvas: Size) -> Raw:
        """What `static` computes for a canvas, with the priors."""
        boxes, logits, coefficients, prototypes, *semantic = tensors
        priors = priors_of(shapes_of(canvas), canvas, self.options.anchors).to(boxes.device)
        return Raw(priors, boxes, logits, coefficients, prototypes, next(iter(semantic), None))

    # Inference.

    def answer(self, batch: Batch, selection: Selection) -> list[Instances]:
        """Fast NMS is per class at IoU 0.5."""
        raw = self(batch)
        height, width = batch.pixels.shape[-2:]
        found = []
        for b, content in enumerate(batch.content_sizes):
            best = self.detect(raw, b, selection)
            found.append(self.instances(best, raw.prototypes[b], content, (height, width)))
        return found

    def detect(self, raw: Raw, b: int, selection: Selection) -> Detections:
        """Image b. Only better boxes suppress, so what is below `min_score` can go beforehand."""
        scores = raw.logits[b].softmax(1)[:, 1:].T  # (C, P)
        scores = keep_categories(scores, selection.categories, dim=0, fill=-1.0)
        prior_labels = scores.argmax(0)
        if self.options.cross_class:
            scores = scores.amax(0, keepdim=True)
        least = max(selection.min_score, 0.0)
        lists = (scores >= least).sum(1)  # per class
        k = min(int(lists.amax()), self.options.per_class)
        score, prior = scores.topk(k, dim=1)  # (C, k)
        boxes = decode(raw.boxes[b], raw.priors)
        kept = fast_nms(boxes[prior], self.options.iou) & (score >= least)
        label, place = kept.nonzero(as_tuple=True)
        best = selection.best(score[label, place])
        label, place = label[best], place[best]
        index = prior[label, place]
        labels = prior_labels[index] if self.options.cross_class else label
        return Detections(boxes[index], score[label, place], labels, raw.coefficients[b, index])

    def instances(
        self, best: Detections, prototypes: Tensor, content: Size, canvas: Size
    ) -> Instances:
        """Masks of detections; `prototypes` (k, h, w) are those of their image."""
        logits = dynamic_conv(best.coefficients, prototypes)
        fields, extents = windows(logits, best.boxes, canvas)
        size = best.boxes.new_tensor([canvas[1], canvas[0]] * 2)
        mask_scores = None
        if self.rescore is not None:
            fit = self.fit(cropped(logits, best.boxes), best.labels)
            mask_scores = (best.scores * fit).clamp(max=1)
        return Instances(
            scores=best.scores,
            labels=best.labels,
            boxes=clip_boxes_to_image(best.boxes * size, content),
            fields=fields,
            extents=extents,
            strict=True,
            mask_scores=mask_scores,
        )

    def fit(self, masks: Tensor, labels: Tensor) -> Tensor:
        """YOLACT++: how well soft masks (n, h, w) of `labels` (n,) fit, (n,) >= 0."""
        assert self.rescore is not None
        if not len(labels):
            return masks.new_zeros(0)
        return self.rescore(masks).gather(1, labels[:, None])[:, 0]

    # Training.

    def losses(self, batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """See segcli.plugin.Trainable: box, class, mask, semantic, and for YOLACT++ rescore."""
        self.use_statistics(batch=len(batch.pixels) >= FEW)
        raw = self(batch)
        canvas = (batch.pixels.shape[-2], batch.pixels.shape[-1])
        truths = [truth_of(target, canvas, len(self.info.categories)) for target in targets]
        return self.losses_of(raw, truths)

    def losses_of(self, raw: Raw, truths: Sequence[Truth]) -> dict[str, Tensor]:
        """Losses of the network's outputs for images with those truths."""
        fit = None if self.rescore is None else self.fit
        return losses(raw, truths, self.options.learning, fit=fit)

    def use_statistics(self, *, batch: bool) -> None:
        """Let the body's norms learn from the batch's statistics, or use the running ones."""
        for module in self.body.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(batch and self.training)
