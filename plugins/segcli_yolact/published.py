"""The checkpoints that the authors publish, trained on COCO."""

from functools import partial

from segcli.plugin import Published

_HUB = "https://huggingface.co/dbolya/"
_AUTHORS = partial(
    Published, licence="MIT", source="github.com/dbolya/yolact, README.md", ap_images="test-dev"
)

PUBLISHED = {
    "r50": _AUTHORS(
        url=_HUB + "yolact-resnet50/resolve/main/yolact_resnet50_54_800000.pth", ap=28.2
    ),
    "r101": _AUTHORS(
        url=_HUB + "yolact-base/resolve/main/yolact_base_54_800000.pth", ap=29.8, megabytes=204
    ),
    "darknet53": _AUTHORS(
        url=_HUB + "yolact-darknet53/resolve/main/yolact_darknet53_54_800000.pth", ap=28.7
    ),
    "plus-r50": _AUTHORS(
        url=_HUB + "yolact-plus-resnet50/resolve/main/yolact_plus_resnet50_54_800000.pth", ap=34.1
    ),
    "plus-r101": _AUTHORS(
        url=_HUB + "yolact-plus-base/resolve/main/yolact_plus_base_54_800000.pth", ap=34.6
    ),
}
