"""The checkpoints that detectron2 and the authors of HTC publish, trained on COCO."""

from functools import partial

from segcli.plugin import Published

_HTC = partial(
    Published,
    url="https://github.com/open-mmlab/mmdetection/tree/v1.0.0/configs/htc",
    licence="Apache-2.0",
    source="github.com/open-mmlab/mmdetection v1.0.0, configs/htc/README.md",
)

PUBLISHED = {
    "r50-fpn": Published(
        url="https://dl.fbaipublicfiles.com/detectron2/Misc/"
        "cascade_mask_rcnn_R_50_FPN_3x/144998488/model_final_480dd8.pkl",
        licence="CC BY-SA 3.0",
        source="github.com/facebookresearch/detectron2, MODEL_ZOO.md",
        ap=38.5,
        md5="480dd8",
    ),
    "htc-r50-fpn": _HTC(ap=38.1, by_hand="the host of htc_r50_fpn_20e no longer answers"),
    "htc-r101-fpn": _HTC(ap=39.4, by_hand="the host of htc_r101_fpn_20e no longer answers"),
}
