"""The variants of the family and how each is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segcli.categories import COCO_IDS
from segcli.types import ModelInfo
from segcli_blocks import hugging_face
from segcli_blocks.normalize import IMAGENET, Normalize
from segcli_rfdetr.model import RFDETR

PATCH = 12  # px of the canvas that a token of the body spans


@dataclass(frozen=True, slots=True)
class Size:
    """What tells a variant from others; `taps` are the blocks of the body whose maps are used,
    `groups` the sets of queries that learn in parallel, of which the first one predicts.

    Position embeddings are learnt for images of `side` px, which is the published size.
    """

    side: int
    windows: int
    layers: int
    queries: int
    groups: int = 13
    width: int = 256
    body: int = 384
    heads: int = 6
    taps: tuple[int, ...] = (3, 6, 9, 12)


SIZES = {
    "seg-nano": Size(312, 1, 4, 100),
    "seg-small": Size(384, 2, 4, 100),
    "seg-medium": Size(432, 2, 5, 200),
    "seg-large": Size(504, 2, 5, 300),
    "seg-xlarge": Size(624, 2, 6, 300),
    "seg-2xlarge": Size(768, 2, 6, 300),
}


def build(info: ModelInfo) -> RFDETR:
    """A model with random weights for any variant of the family.

    Raises UsageError when transformers is not installed.
    """
    return assemble(info, SIZES[info.variant])


def assemble(info: ModelInfo, size: Size) -> RFDETR:
    """The authors' model of a size; published heads have one logit for each id of COCO, 0 to 90,
    others one for each category."""
    rows = info.category_ids if info.category_ids == COCO_IDS else range(len(info.categories))
    (network,) = hugging_face.load("RfDetrForInstanceSegmentation")
    return RFDETR(
        info,
        network=network(config(size, logits=max(rows) + 1)),
        logits=tuple(rows),
        unit=PATCH * size.windows,
        normalize=Normalize(*IMAGENET),
    )


def config(size: Size, *, logits: int) -> Any:
    """transformers' configuration of a size."""
    (rf_detr,) = hugging_face.load("RfDetrConfig")
    return rf_detr(
        backbone_config={
            "model_type": "rf_detr_dinov2",
            "hidden_size": size.body,
            "num_hidden_layers": size.taps[-1],
            "num_attention_heads": size.heads,
            "patch_size": PATCH,
            "image_size": size.side,
            "num_windows": size.windows,
            "out_features": [f"stage{block}" for block in size.taps],
            "use_mask_token": False,  # for the body's own pretraining only
        },
        d_model=size.width,
        decoder_ffn_dim=2048,
        intermediate_size=4 * size.width,
        decoder_layers=size.layers,
        decoder_n_points=2,
        num_queries=size.queries,
        group_detr=size.groups,
        dropout=0.0,
        num_labels=logits,
    )
