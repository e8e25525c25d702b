"""Mask R-CNN (He et al. 2017) on torchvision's parts, in reading order.

Letters: B images, N regions or objects of all images together, C categories, K = C + 1 with
background first (the published torchvision weights have K = 91, gaps of the COCO ids included).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import batched_nms, clip_boxes_to_image

from segcli.types import Batch, Instances, ModelInfo, Size, Targets
from segcli_blocks.fuse import fuse
from segcli_blocks.normalize import Normalize
from segcli_blocks.segmenter import BaseSegmenter, keep_categories
from segcli_maskrcnn.pooler import Pooler
from segcli_maskrcnn.proposals import Conventions, anchors_of, decode, flatten, propose
from segcli_maskrcnn.training import box_losses, mask_loss, region_targets, rpn_losses

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


class RoIHeads(nn.Module):
    """Holds the second stage's layers under the names of the published checkpoints."""

    def __init__(
        self, box_head: nn.Module, box_predictor: nn.Module, mask_head: nn.Module,
        mask_predictor: nn.Module,
    ) -> None:  # fmt: skip
        super().__init__()
        self.box_head = box_head
        self.box_predictor = box_predictor
        self.mask_head = mask_head
        self.mask_predictor = mask_predictor


class RPN(nn.Module):
    """Holds the proposal head under the name of the published checkpoints."""

    def __init__(self, head: RPNHead) -> None:
        super().__init__()
        self.head = head


class MaskRCNN(BaseSegmenter):
    """The two-stage detector with a mask head.

    `classes` are the positions of the info's categories among the K class logits, 1-based where
    background comes first. With `agnostic` boxes and masks one prediction serves every class.
    """

    learns_from_boxes = True

    def __init__(
        self,
        info: ModelInfo,
        *,
        backbone: nn.Module,
        rpn_head: RPNHead,
        roi_heads: RoIHeads,
        conventions: Conventions,
        classes: Sequence[int],
        agnostic: bool = False,
    ) -> None:
        super().__init__(info, Normalize(conventions.mean, conventions.std))
        self.backbone = backbone
        self.rpn = RPN(rpn_head)
        self.roi_heads = roi_heads
        self.conventions = conventions
        self.agnostic = agnostic
        self.box_pool = Pooler(7, conventions)
        self.mask_pool = Pooler(14, conventions)
        self.classes: Tensor
        self.register_buffer("classes", torch.tensor(classes), persistent=False)  # (C,)

    # The way in: both inference and training begin here.

    def first_stage(self, batch: Batch) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Pyramid maps; logits (B, n_l, 1) and deltas (B, n_l, 4) a level, flat like anchors."""
        maps = self.backbone(self.normalize(batch))
        logits, deltas = self.rpn.head(maps)
        return maps, flatten(logits, 1), flatten(deltas, 4)

    def anchors(self, maps: Sequence[Tensor], batch: Batch) -> list[Tensor]:
        """Anchors (n_l, 4) a level for the batch's canvas."""
        height, width = batch.pixels.shape[-2:]
        shapes = [(m.shape[-2], m.shape[-1]) for m in maps]
        levels = anchors_of(shapes, (height, width), self.conventions)
        return [level.to(maps[0].device) for level in levels]

    def regions(
        self, logits: Sequence[Tensor], deltas: Sequence[Tensor], anchors: Sequence[Tensor],
        contents: Sequence[Size],
    ) -> list[Tensor]:  # fmt: skip
        """Proposals (n_b, 4) per image."""
        return [
            propose(
                [level[b, :, 0].detach() for level in logits],
                [level[b].detach() for level in deltas],
                anchors,
                content,
                conventions=self.conventions,
                training=self.training,
            )
            for b, content in enumerate(contents)
        ]

    def classify(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Boxes per image -> class logits (N, K) and deltas (N, K * 4 or 4), float32."""
        features = self.roi_heads.box_head(self.box_pool(maps[:4], boxes))
        logits, deltas = self.roi_heads.box_predictor(features)
        return logits.float(), deltas.float()

    def mask_logits(self, maps: Sequence[Tensor], boxes: Sequence[Tensor], of: Tensor) -> Tensor:
        """The 28 x 28 mask logits (N, 28, 28) of the class positions `of` (N,), float32."""
        features = self.mask_pool(maps[:4], boxes).contiguous(memory_format=torch.channels_last)
        logits = self.roi_heads.mask_predictor(self.roi_heads.mask_head(features)).float()
        channel = torch.zeros_like(of) if self.agnostic else of
        return logits[torch.arange(len(of), device=of.device), channel]

    # Inference.

    def fuse(self, dtype: torch.dtype) -> None:
        """See segcli.plugin.Fusible."""
        fuse(self, dtype)

    @torch.inference_mode()
    def predict(
        self,
        batch: Batch,
        *,
        min_score: float,
        max_masks: int,
        categories: frozenset[int] | None = None,
    ) -> list[Instances]:
        """See segcli.plugin.Segmenter; suppression is per class at IoU 0.5."""
        maps, logits, deltas = self.first_stage(batch)
        proposals = self.regions(logits, deltas, self.anchors(maps, batch), batch.content_sizes)
        class_logits, box_deltas = self.classify(maps, proposals)
        counts = [len(p) for p in proposals]
        found = [
            self.detect(*each, min_score=min_score, max_masks=max_masks, categories=categories)
            for each in zip(
                class_logits.split(counts),
                box_deltas.split(counts),
                proposals,
                batch.content_sizes,
                strict=True,
            )
        ]
        boxes = [box for box, _, _ in found]
        of = self.classes[torch.cat([label for _, _, label in found])]
        fields = self.mask_logits(maps, boxes, of).sigmoid() if len(of) else maps[0].new_zeros(
            (0, 28, 28), dtype=torch.float32
        )  # fmt: skip
        return [
            Instances(scores=score, labels=label, boxes=box, fields=field, extents=box)
            for (box, score, label), field in zip(
                found, fields.split([len(b) for b in boxes]), strict=True
            )
        ]

    def detect(
        self,
        logits: Tensor,
        deltas: Tensor,
        proposals: Tensor,
        content: Size,
        *,
        min_score: float,
        max_masks: int,
        categories: frozenset[int] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One image: boxes (n, 4) canvas px, scores (n,), labels (n,), best first."""
        scores = keep_categories(logits.softmax(-1)[:, self.classes], categories)  # (P, C)
        region, label = (scores > min_score).nonzero(as_tuple=True)
        score = scores[region, label]
        # Decode only what survives the score: of P * C boxes a few hundred at most are left.
        picked = deltas[region].unflatten(1, (-1, 4))
        position = torch.zeros_like(label) if self.agnostic else self.classes[label]
        picked = picked[torch.arange(len(label), device=label.device), position]
        box = clip_boxes_to_image(decode(picked, proposals[region], BOX_WEIGHTS)[:, 0], content)
        large = (box[:, 2:] - box[:, :2]).amin(1) >= self.conventions.smallest_detection
        box, score, label = box[large], score[large], label[large]
        keep = batched_nms(box, score, label, 0.5)[:max_masks]
        return box[keep], score[keep], label[keep]

    # Training.

    def losses(self, batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """See segcli.plugin.Trainable: objectness, proposal boxes, classes, boxes, masks."""
        maps, logits, deltas = self.first_stage(batch)
        anchors = self.anchors(maps, batch)
        beta = self.conventions.beta
        objectness, proposal_box = rpn_losses(
            torch.cat(logits, 1)[..., 0], torch.cat(deltas, 1), torch.cat(anchors), targets, beta
        )
        proposals = self.regions(logits, deltas, anchors, batch.content_sizes)
        samples = self.conventions.region_samples
        sampled = [region_targets(p, t, samples) for p, t in zip(proposals, targets, strict=True)]
        class_logits, box_deltas = self.classify(maps, [s.boxes for s in sampled])
        classes, box = box_losses(
            class_logits, box_deltas, sampled, positions=self.classes, agnostic=self.agnostic,
            beta=beta,
        )  # fmt: skip
        positive = [s.boxes[s.drawn] for s in sampled]
        labels = torch.cat([s.labels[s.drawn] for s in sampled])
        predicted = self.mask_logits(maps, positive, self.classes[labels])
        aligned = self.conventions.aligned
        mask = mask_loss(predicted, positive, sampled, targets, aligned=aligned)
        return {
            "objectness": objectness,
            "proposal_box": proposal_box,
            "class": classes,
            "box": box,
            "mask": mask,
        }


def agnostic_box_predictor(inputs: int, classes: int) -> FastRCNNPredictor:
    """Class logits for `classes` positions and a single box for all of them."""
    predictor = FastRCNNPredictor(inputs, classes)
    predictor.bbox_pred = nn.Linear(inputs, 4)
    return predictor


def mask_predictor(inputs: int, classes: int) -> MaskRCNNPredictor:
    """Upsample twofold, then one mask logit for each of `classes` positions."""
    return MaskRCNNPredictor(inputs, inputs, classes)
