"""The checkpoints that the authors publish, trained on COCO; for non-commercial use."""

from functools import partial

from segcli.plugin import Published

_BASE = "https://huggingface.co/tianzhi/AdelaiDet-CondInst/resolve/main/"
_AUTHORS = partial(
    Published,
    licence="non-commercial",
    source="github.com/aim-uofa/AdelaiDet, configs/CondInst",
    non_commercial=True,
)

PUBLISHED = {
    "r50-fpn": _AUTHORS(
        url=_BASE + "CondInst_MS_R_50_3x.pth",
        ap=37.5,
        size=136_956_635,
        sha256="5f3d214f0d660a910324d6229139b4150438ba18fcb7fbb05c334e59c058d826",
    ),
    "r101-fpn": _AUTHORS(
        url=_BASE + "CondInst_MS_R_101_3x.pth",
        ap=38.6,
        size=213_189_324,
        sha256="4d3f2e82ccce199862a063e384d8bef0291f3291626b0379dc5f18859c4995ac",
    ),
    "r101-fpn-sem": _AUTHORS(
        url=_BASE + "CondInst_MS_R_101_3x_sem.pth",
        ap=39.8,
        size=215_007_108,
        sha256="dffc36a0e2a303aa96373d786193c19f6313d268c81fd2260389d30ec7835295",
    ),
}
