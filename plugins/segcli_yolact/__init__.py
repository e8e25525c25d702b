"""YOLACT: an object's mask is a mixture of prototypes that the whole image shares."""

from segcli.types import Resize
from segcli_blocks.family import coco_family

_SQUARE = Resize(short=550, long=550, mode="stretch", antialias=False)
_FILES = {
    "r50": "yolact_resnet50_54_800000.pth",
    "r101": "yolact_base_54_800000.pth",
    "darknet53": "yolact_darknet53_54_800000.pth",
    "plus-r50": "yolact_plus_resnet50_54_800000.pth",
    "plus-r101": "yolact_plus_base_54_800000.pth",
}

FAMILY = coco_family(
    "yolact",
    dict.fromkeys(_FILES, _SQUARE),
    stride=1,
    published={name: f"github.com/dbolya/yolact ({file})" for name, file in _FILES.items()},
)
