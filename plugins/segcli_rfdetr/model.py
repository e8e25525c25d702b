"""RF-DETR-Seg (Robinson et al. 2025) on transformers' implementation, in reading order.

A DINOv2 body with windowed attention, a projector, and a decoder: every query brings a logit for
each category, a box, and a vector whose product with the map of the image is its mask. There is
nothing to suppress.

Letters: B images, Q queries, L logits, C categories, n objects; s px the side of the square that
the network sees.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_convert

from segcli.types import Batch, Instances, ModelInfo, Size, Targets
from segcli_blocks.normalize import Normalize
from segcli_blocks.segmenter import BaseSegmenter, Selection, keep_categories
from segcli_rfdetr.losses import Layer, losses_of
from segcli_rfdetr.targets import truth_of

QUERIES = "network.model.model.query_feat.weight"


class RFDETR(BaseSegmenter):
    """`network` is transformers' RfDetrForInstanceSegmentation; `logits` (C,) says which of its
    logits is which category; the square's side is a multiple of `unit` px."""

    logit_of: Tensor

    def __init__(
        self,
        info: ModelInfo,
        *,
        network: Any,
        logits: Sequence[int],
        unit: int,
        normalize: Normalize,
    ) -> None:
        super().__init__(info, normalize)
        self.network = network
        self.unit = unit
        self.register_buffer("logit_of", torch.tensor(logits), persistent=False)

    def adapt(self, state: Mapping[str, Tensor]) -> None:
        """See segcli.plugin.Adaptable: the number of queries is that of the weights."""
        groups = self.network.config.group_detr
        rows = len(state[QUERIES]) if QUERIES in state else 0
        inner = self.network.model.model
        if rows % groups or rows in (0, groups * inner.num_queries):
            return
        for name in ("query_feat", "reference_point_embed"):
            table = getattr(inner, name)
            setattr(
                inner, name, nn.Embedding(rows, table.embedding_dim, device=table.weight.device)
            )
        inner.num_queries = self.network.config.num_queries = rows // groups

    @property
    def side(self) -> int:
        """px of the square: what `info` asks for, rounded up, with a token for every query."""
        patch = self.network.config.backbone_config.patch_size
        fewest = math.ceil(math.sqrt(self.network.config.num_queries)) * patch
        return math.ceil(max(self.info.resize.short, fewest) / self.unit) * self.unit

    @property
    def canvas(self) -> Size:
        """See segcli.plugin.Compilable."""
        return self.side, self.side

    def static(self, x: Tensor) -> list[Tensor]:
        """See segcli.plugin.Compilable: the map of the body (B, D, s/12, s/12), and that of the
        masks (B, D, s/4, s/4)."""
        body = self.network.model.model.backbone
        features = body.projector(body.backbone(x).feature_maps)
        size = [length // self.network.downsample_ratio for length in x.shape[2:]]
        drawn = F.interpolate(features, size, mode="bilinear")
        for block in self.network.blocks:
            drawn = block(drawn)
        return [features, self.network.spatial_features_proj(drawn)]

    def decoded(self, features: Tensor) -> Any:
        """What transformers' decoder makes of the map of the body (B, D, s/12, s/12)."""
        rest = copy.copy(self.network.model.model)
        rest._modules = {**rest._modules, "backbone": _Given()}
        return rest(features)

    def prepare(self, batch: Batch) -> Tensor:
        """Normalised pixels (B, 3, s, s): each image's content, which training and other callers
        may have given another shape than the one that `info.resize` makes."""
        x = self.normalize(batch)
        size = (self.side, self.side)
        if x.shape[2:] == size and all(content == size for content in batch.content_sizes):
            return x
        contents = zip(x, batch.content_sizes, strict=True)
        return torch.cat([_stretched(image[:, :h, :w], size) for image, (h, w) in contents])

    # Inference.

    def answer(self, batch: Batch, selection: Selection) -> list[Instances]:
        """Of all pairs of query and category the best are taken, at most as many as queries."""
        features, drawn = self.dense(batch)
        found = self.decoded(features)
        queries, points = found.last_hidden_state, found.intermediate_reference_points[-1]
        logits, boxes = self.network.model.predict_class_and_boxes(queries, points)
        masks = self.network.get_mask_logits(queries, drawn)
        outputs = zip(logits.float(), boxes.float(), masks, batch.content_sizes, strict=True)
        return [
            self.instances(logits, boxes, masks, selection, content)
            for logits, boxes, masks, content in outputs
        ]

    def instances(
        self, logits: Tensor, boxes: Tensor, masks: Tensor, selection: Selection, content: Size
    ) -> Instances:
        """One image: logits (Q, L), boxes (Q, 4) in [0, 1] of the content, masks (Q, s/4, s/4).

        The authors interpolate the mask logits to the original in one step; so does the core.
        """
        h, w = content
        probability = logits[:, self.logit_of].sigmoid()
        scores = keep_categories(probability, selection.categories, fill=-1.0).flatten()
        chosen = selection.best(scores)[: len(logits)]
        query, label = chosen // probability.shape[1], chosen % probability.shape[1]
        span = boxes.new_tensor([w, h, w, h])
        return Instances(
            scores=scores[chosen],
            labels=label,
            boxes=(box_convert(boxes[query], "cxcywh", "xyxy") * span).clamp(min=0).minimum(span),
            fields=masks[query].float(),
            extents=boxes.new_tensor([0, 0, w, h]).expand(len(chosen), 4),
            threshold=0.0,
            strict=True,
            outside="clamp",
        )

    # Training.

    def losses(self, batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """See segcli.plugin.Trainable: classes, boxes and masks, summed over the layers."""
        groups = self.network.config.group_detr if self.training else 1
        truths = [
            truth_of(target, content, self.logit_of, self.network.config.num_labels)
            for target, content in zip(targets, batch.content_sizes, strict=True)
        ]
        return losses_of(self.layers(self.prepare(batch)), truths, groups=groups)

    def layers(self, pixels: Tensor) -> list[Layer]:
        """What the proposals and then each layer of the decoder say of pixels (B, 3, s, s)."""
        detector, head = self.network.model, self.network.segmentation_head
        found = detector.model(pixels)
        features, hidden = found.backbone_features, found.intermediate_hidden_states
        proposals = Layer(
            detector.predict_encoder_class_logits(found.enc_outputs_class),
            found.enc_outputs_coord_logits,
            head(features, found.enc_outputs_class, pixels.shape[2:], skip_blocks=True),
        )
        logits, boxes = detector.predict_class_and_boxes(
            hidden, found.intermediate_reference_points
        )
        masks = head(features, hidden, pixels.shape[2:])
        return [proposals, *map(Layer, logits, boxes, masks)]


class _Given(nn.Module):
    """In place of the body, for a network that gets the body's map instead of pixels."""

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return features, mask.bool()


def _stretched(image: Tensor, size: Size) -> Tensor:
    """(3, h, w) -> (1, 3, *size), as segcli.types.Resize does with a triangle filter."""
    return F.interpolate(image[None], size, mode="bilinear", antialias=True)
