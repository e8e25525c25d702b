"""The checkpoints that torchvision and detectron2 publish, trained on COCO."""

from functools import partial

from segcli.plugin import Published

_TORCHVISION = partial(Published, licence="BSD-3 (code)")
_DETECTRON2 = partial(
    Published,
    licence="CC BY-SA 3.0",
    source="github.com/facebookresearch/detectron2, MODEL_ZOO.md",
)
_MODELS = "https://download.pytorch.org/models/"
_ZOO = "https://dl.fbaipublicfiles.com/detectron2/COCO-InstanceSegmentation/"

PUBLISHED = {
    "r50-fpn": _TORCHVISION(
        url=_MODELS + "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
        source="torchvision, MaskRCNN_ResNet50_FPN_Weights.COCO_V1",
        ap=34.6,
        megabytes=178.1,
        sha256="bf2d0c1efbc936eeee2bc95a48e80ebc86b891f61b0106485937fc29f9315fc0",
    ),
    "r50-fpn-v2": _TORCHVISION(
        url=_MODELS + "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
        source="torchvision, MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1",
        ap=41.8,
        megabytes=185.8,
        sha256="73cbd0190fcbe3ba339921fbce2c3a0b6bb9126c9a133c85e43a2a8e060a109e",
        recommended=True,
    ),
    "r50-fpn-d2": _DETECTRON2(
        url=_ZOO + "mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl",
        ap=37.2,
        sha256="9a737e290372f1f70994ebcbd89d8004dbb3ae30a605fd915a190fa4a782dd66",
        md5="f10217",
    ),
    "r101-fpn": _DETECTRON2(
        url=_ZOO + "mask_rcnn_R_101_FPN_3x/138205316/model_final_a3ec72.pkl", ap=38.6, md5="a3ec72"
    ),
    "x101-fpn": _DETECTRON2(
        url=_ZOO + "mask_rcnn_X_101_32x8d_FPN_3x/139653917/model_final_2d9806.pkl",
        ap=39.5,
        md5="2d9806",
    ),
    "r50-c4": _DETECTRON2(
        url=_ZOO + "mask_rcnn_R_50_C4_3x/137849525/model_final_4ce675.pkl", ap=34.4, md5="4ce675"
    ),
    "r50-dc5": _DETECTRON2(
        url=_ZOO + "mask_rcnn_R_50_DC5_3x/137849551/model_final_84107b.pkl", ap=35.9, md5="84107b"
    ),
    "r101-c4": _DETECTRON2(
        url=_ZOO + "mask_rcnn_R_101_C4_3x/138363239/model_final_a2914c.pkl", ap=36.7, md5="a2914c"
    ),
    "r101-dc5": _DETECTRON2(
        url=_ZOO + "mask_rcnn_R_101_DC5_3x/138363294/model_final_0464b7.pkl", ap=37.3, md5="0464b7"
    ),
    "keypoint-r50-fpn": _TORCHVISION(
        url=_MODELS + "keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
        source="torchvision, KeypointRCNN_ResNet50_FPN_Weights.COCO_V1",
        keypoint_ap=65.0,
        megabytes=237.0,
        sha256="fc266e95",
    ),
    "keypoint-r50-fpn-legacy": _TORCHVISION(
        url=_MODELS + "keypointrcnn_resnet50_fpn_coco-9f466800.pth",
        source="torchvision, KeypointRCNN_ResNet50_FPN_Weights.COCO_LEGACY",
        keypoint_ap=61.1,
        megabytes=237.0,
        sha256="9f466800",
    ),
}
