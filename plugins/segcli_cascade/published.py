"""The checkpoint that detectron2 publishes, trained on COCO."""

from segcli.plugin import Published

PUBLISHED = {
    "r50-fpn": Published(
        url="https://dl.fbaipublicfiles.com/detectron2/Misc/"
        "cascade_mask_rcnn_R_50_FPN_3x/144998488/model_final_480dd8.pkl",
        licence="CC BY-SA 3.0",
        source="github.com/facebookresearch/detectron2, MODEL_ZOO.md",
        ap=38.5,
        md5="480dd8",
    )
}
