"""The checkpoints that the authors publish, trained on COCO; for non-commercial use."""

from functools import partial

from segcli.plugin import Published

_BASE = "https://huggingface.co/xinlongwang/SOLO/resolve/main/"
_AUTHORS = partial(
    Published,
    licence="non-commercial",
    source="github.com/WXinlong/SOLO, README.md",
    ap_images="minival",
    non_commercial=True,
)

PUBLISHED = {
    "solov2-light-r18": _AUTHORS(
        url=_BASE + "SOLOv2_LIGHT_448_R18_3x.pth",
        ap=29.6,
        megabytes=146,
        sha256="4f89669be79143566e02bdc51428fc10c83a3974a53326fcae1cf7e336dc6997",
    ),
    "solov2-light-r50": _AUTHORS(url=_BASE + "SOLOv2_LIGHT_448_R50_3x.pth", ap=33.7, megabytes=250),
    "solov2-r50": _AUTHORS(
        url=_BASE + "SOLOv2_R50_3x.pth",
        ap=37.5,
        megabytes=372,
        sha256="659975203266ca2d00167790796fde961d09930c01124377d3ee3a8be3a3a660",
    ),
    "solov2-r101": _AUTHORS(
        url=_BASE + "SOLOv2_R101_3x.pth",
        ap=39.1,
        megabytes=524,
        sha256="7126c25eee6575ef405fc689b46510493b4dc991ebf758a12645109ed906c55f",
    ),
    "solo-r50": _AUTHORS(url=_BASE + "SOLO_R50_3x.pth", ap=35.8, megabytes=290),
    "decoupled-r50": _AUTHORS(
        url=_BASE + "DECOUPLED_SOLO_R50_3x.pth",
        ap=36.4,
        megabytes=320,
        sha256="57ae7529291e7b6c87d847692084a7cd64dfd56f80fc3b6733758bbd81b21180",
    ),
    "decoupled-light-r50": _AUTHORS(
        url=_BASE + "DECOUPLED_SOLO_LIGHT_R50_3x.pth",
        ap=33.0,
        size=258_242_397,
        sha256="185aa3aae847366013a89b80857306f28c49a45608c1345d2cdc84477f7dd18e",
    ),
}
