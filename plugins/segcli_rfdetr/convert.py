"""Convert checkpoints of Roboflow and of transformers to segcli's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks.checkpoint_names import Rules, fitting, rename
from segcli_rfdetr.model import QUERIES, RFDETR
from segcli_rfdetr.variants import SIZES, assemble

_BODY = "network.model.model.backbone.backbone"
_NECK = "network.model.model.backbone.projector"
_DECODER = "network.model.model.decoder"
_LAYER = rf"{_DECODER}.layers.\1"
_THEIRS = r"transformer\.decoder\.layers\.(\d+)"
_ATTENTION = r"backbone\.0\.encoder\.encoder\.(encoder\.layer\.\d+\.attention)"
_STAGE = r"backbone\.0\.projector\.stages\.0\.0"

RULES: Rules = (
    (r"_kp_active_mask|.*\.mask_token", ""),  # of key points, and of the body's pretraining
    (rf"{_ATTENTION}\.attention\.query\.(.+)", rf"{_BODY}.\1.q_proj.\2"),
    (rf"{_ATTENTION}\.attention\.key\.(.+)", rf"{_BODY}.\1.k_proj.\2"),
    (rf"{_ATTENTION}\.attention\.value\.(.+)", rf"{_BODY}.\1.v_proj.\2"),
    (rf"{_ATTENTION}\.output\.dense\.(.+)", rf"{_BODY}.\1.o_proj.\2"),
    (r"backbone\.0\.encoder\.encoder\.(.+)", rf"{_BODY}.\1"),
    (rf"{_STAGE}\.cv(\d)\.conv\.(.+)", rf"{_NECK}.projector_layer.conv\1.conv.\2"),
    (rf"{_STAGE}\.cv(\d)\.bn\.(.+)", rf"{_NECK}.projector_layer.conv\1.norm.\2"),
    (rf"{_STAGE}\.m\.(\d+)\.cv(\d)\.conv\.(.+)",
     rf"{_NECK}.projector_layer.bottlenecks.\1.conv\2.conv.\3"),
    (rf"{_STAGE}\.m\.(\d+)\.cv(\d)\.bn\.(.+)",
     rf"{_NECK}.projector_layer.bottlenecks.\1.conv\2.norm.\3"),
    (r"backbone\.0\.projector\.stages\.0\.1\.(.+)", rf"{_NECK}.layer_norm.\1"),
    (rf"{_THEIRS}\.norm1\.(.+)", rf"{_LAYER}.self_attn_layer_norm.\2"),
    (rf"{_THEIRS}\.norm2\.(.+)", rf"{_LAYER}.cross_attn_layer_norm.\2"),
    (rf"{_THEIRS}\.norm3\.(.+)", rf"{_LAYER}.layer_norm.\2"),
    (rf"{_THEIRS}\.linear(\d)\.(.+)", rf"{_LAYER}.mlp.fc\2.\3"),
    (rf"{_THEIRS}\.self_attn\.out_proj\.(.+)", rf"{_LAYER}.self_attn.o_proj.\2"),
    (r"transformer\.decoder\.norm\.(.+)", rf"{_DECODER}.layernorm.\1"),
    (r"transformer\.(.+)", r"network.model.model.\1"),
    (r"refpoint_embed\.weight", "network.model.model.reference_point_embed.weight"),
    (r"query_feat\.weight", QUERIES),
    (r"((?:class|bbox)_embed\..+)", r"network.model.\1"),
    (r"segmentation_head\.bias", "network.segmentation_bias"),
    (r"segmentation_head\.blocks\.(\d+)\.norm\.(.+)", r"network.blocks.\1.layernorm.\2"),
    (r"segmentation_head\.blocks\.(\d+)\.dwconv\.(.+)", r"network.blocks.\1.depthwise_conv.\2"),
    (r"segmentation_head\.blocks\.(\d+)\.pwconv1\.(.+)", r"network.blocks.\1.pointwise_conv.\2"),
    (r"segmentation_head\.query_features_block\.norm_in\.(.+)",
     r"network.query_features_block.norm.\1"),
    (r"segmentation_head\.query_features_block\.layers\.0\.(.+)",
     r"network.query_features_block.mlp.fc1.\1"),
    (r"segmentation_head\.query_features_block\.layers\.2\.(.+)",
     r"network.query_features_block.mlp.fc2.\1"),
    (r"segmentation_head\.(.+)", r"network.\1"),
    # transformers' own names, which have to come last: these are prefixes of nothing above.
    (r"((?:model|blocks|query_features_block|query_features_proj|spatial_features_proj)\..+)",
     r"network.\1"),
    (r"segmentation_bias", "network.segmentation_bias"),
)  # fmt: skip


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model.

    The number of queries is the checkpoint's own, for the published seg-large has more than its
    configuration says. Raises a UsageError that names the first differences when it is another
    model's.
    """
    found = renamed(state)
    size = SIZES[info.variant]
    if QUERIES in found and len(found[QUERIES]) % size.groups == 0:
        size = replace(size, queries=len(found[QUERIES]) // size.groups)

    def build(info: ModelInfo) -> RFDETR:
        return assemble(info, size)

    return fitting(found, info, build)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their names as ours; what attention holds as one tensor becomes its three."""
    ours: dict[str, Tensor] = {}
    for name, tensor in rename(state, RULES).items():
        head, joint, kind = name.partition(".self_attn.in_proj_")
        if not joint:
            ours[name] = tensor
            continue
        for part, third in zip("qkv", tensor.chunk(3), strict=True):
            ours[f"{head}.self_attn.{part}_proj.{kind}"] = third
    return ours
