"""The checkpoints that detectron2's PointRend project publishes, trained on COCO."""

from segcli.plugin import Published

_HOST = "https://dl.fbaipublicfiles.com/detectron2/PointRend/InstanceSegmentation/"


def _published(path: str, ap: float, md5: str) -> Published:
    return Published(
        url=f"{_HOST}{path}/model_final_{md5}.pkl",
        licence="CC BY-SA 3.0",
        source="github.com/facebookresearch/detectron2, projects/PointRend/README.md",
        ap=ap,
        md5=md5,
    )


PUBLISHED = {
    "r50-fpn": _published("pointrend_rcnn_R_50_FPN_3x_coco/164955410", 38.3, "edd263"),
    "r101-fpn": _published("pointrend_rcnn_R_101_FPN_3x_coco/28119983", 40.1, "3f4d2a"),
    "x101-fpn": _published("pointrend_rcnn_X_101_32x8d_FPN_3x_coco/28119989", 41.1, "ba17b9"),
}
