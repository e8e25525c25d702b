"""The checkpoints that the authors publish, trained on COCO."""

from functools import partial

from segcli.plugin import Published

_AUTHORS = partial(
    Published,
    url="https://1drv.ms/f/s!AntfaTaAXHobhkCKfcPPQQfOfFAB",
    licence="MIT",
    source="github.com/zjhuang22/maskscoring_rcnn, README.md",
)

PUBLISHED = {
    "r50-fpn": _AUTHORS(ap=35.6, by_hand="e2e_ms_rcnn_R_50_FPN_1x is in a folder of OneDrive"),
    "r101-fpn": _AUTHORS(ap=37.4, by_hand="e2e_ms_rcnn_R_101_FPN_1x is in a folder of OneDrive"),
}
