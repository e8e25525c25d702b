"""Published checkpoints under our names: torchvision's, detectron2's, and an ImageNet body."""

from collections.abc import Mapping

import torch
from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks import efficientnet_lite
from segcli_blocks.checkpoint_names import check, rename
from segcli_blocks.mobilenet import from_imagenet
from segcli_maskrcnn.variants import build

# detectron2 name -> torchvision name; specs: detectron2's MODEL_ZOO checkpoints.
_DETECTRON2 = (
    (r"pixel_(mean|std)|proposal_generator\.anchor_generator\..*", ""),  # old files hold these
    (r"backbone\.bottom_up\.stem\.conv1\.weight", "backbone.body.conv1.weight"),
    (r"backbone\.bottom_up\.stem\.conv1\.norm\.(\w+)", r"backbone.body.bn1.\1"),
    (
        r"backbone\.bottom_up\.res(\d)\.(\d+)\.conv(\d)\.weight",
        r"backbone.body.layer<\1>.\2.conv\3.weight",
    ),
    (
        r"backbone\.bottom_up\.res(\d)\.(\d+)\.conv(\d)\.norm\.(\w+)",
        r"backbone.body.layer<\1>.\2.bn\3.\4",
    ),
    (
        r"backbone\.bottom_up\.res(\d)\.0\.shortcut\.weight",
        r"backbone.body.layer<\1>.0.downsample.0.weight",
    ),
    (
        r"backbone\.bottom_up\.res(\d)\.0\.shortcut\.norm\.(\w+)",
        r"backbone.body.layer<\1>.0.downsample.1.\2",
    ),
    (r"backbone\.fpn_lateral(\d)\.(\w+)", r"backbone.fpn.inner_blocks.[\1].0.\2"),
    (r"backbone\.fpn_output(\d)\.(\w+)", r"backbone.fpn.layer_blocks.[\1].0.\2"),
    (r"proposal_generator\.rpn_head\.conv\.(\w+)", r"rpn.head.conv.0.0.\1"),
    (r"proposal_generator\.rpn_head\.objectness_logits\.(\w+)", r"rpn.head.cls_logits.\1"),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.(\w+)", r"rpn.head.bbox_pred.\1"),
    (r"roi_heads\.box_head\.fc1\.(\w+)", r"roi_heads.box_head.fc6.\1"),
    (r"roi_heads\.box_head\.fc2\.(\w+)", r"roi_heads.box_head.fc7.\1"),
    (r"roi_heads\.box_predictor\.(\w+)\.(\w+)", r"roi_heads.box_predictor.\1.\2"),
    (r"roi_heads\.mask_head\.mask_fcn(\d)\.(\w+)", r"roi_heads.mask_head.<\1>.0.\2"),
    (r"roi_heads\.mask_head\.deconv\.(\w+)", r"roi_heads.mask_predictor.conv5_mask.\1"),
    (r"roi_heads\.mask_head\.predictor\.(\w+)", r"roi_heads.mask_predictor.mask_fcn_logits.\1"),
)  # fmt: skip


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model.

    An ImageNet MobileNetV2 or EfficientNet-Lite gives only the body, as a beginning for training;
    every other checkpoint must fit completely. Raises a UsageError with the first differences.
    """
    if info.variant == "mobilenet" and "features.0.0.weight" in state:
        return from_imagenet(state, "backbone.body.")
    if info.variant in ("lite1", "lite2") and efficientnet_lite.is_imagenet(state):
        return efficientnet_lite.from_imagenet(state, "backbone.body.")
    published = list(state)
    if any(name.startswith("backbone.bottom_up.") for name in state):
        state = _from_detectron2(state)
    with torch.device("meta"):  # names and shapes without the numbers
        expected = build(info).state_dict()
    # Frozen norms count no batches, but checkpoints of models that did may say how many.
    surplus = {k for k in state if k.endswith("num_batches_tracked") and k not in expected}
    found = {k: v for k, v in state.items() if k not in surplus}
    check(found, expected, info, published=published)
    return found


def _from_detectron2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename, move background from the last class to the first, and BGR filters to RGB."""
    ours = rename(state, _DETECTRON2)
    # Other families' checkpoints lack some of these; what is missing is for `check` to say.
    changes = {
        "roi_heads.box_predictor.cls_score": lambda t: torch.cat((t[-1:], t[:-1])),
        "roi_heads.box_predictor.bbox_pred": lambda t: torch.cat((torch.zeros_like(t[:4]), t)),
        "roi_heads.mask_predictor.mask_fcn_logits": lambda t: torch.cat(
            (torch.zeros_like(t[:1]), t)
        ),
    }
    for layer, change in changes.items():
        for key in (f"{layer}.weight", f"{layer}.bias"):
            if key in ours:
                ours[key] = change(ours[key])
    first = "backbone.body.conv1.weight"
    if first in ours:
        ours[first] = ours[first].flip(1)
    return ours
