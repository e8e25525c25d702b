"""RF-DETR: a transformer whose queries find each an object and its mask; needs the extra `hf`."""

from segcli.types import Resize
from segcli_blocks.family import coco_family
from segcli_rfdetr.published import PUBLISHED

_SIDES = {
    "seg-nano": 312,
    "seg-small": 384,
    "seg-medium": 432,
    "seg-large": 504,
    "seg-xlarge": 624,
    "seg-2xlarge": 768,
}

FAMILY = coco_family(
    "rfdetr",
    {variant: Resize(side, side, "stretch") for variant, side in _SIDES.items()},
    stride=1,
    published=PUBLISHED,
    requires={"transformers": "pip install 'segcli[hf]'"},
)
