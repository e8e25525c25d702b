"""The checkpoints that the authors publish, trained on COCO."""

from functools import partial

from segcli.plugin import Published

_AUTHORS = partial(
    Published,
    url="https://1drv.ms/u/s!Al_gruIFwTUskAC9jf6oqkQ860of?e=3fHO6a",
    licence="MIT",
    source="github.com/yinghdb/EmbedMask, README.md",
    ap_images="test2014",  # as that page has it
)

PUBLISHED = {
    "r50-fpn": _AUTHORS(ap=34.7, by_hand="embed_mask_R50_1x is in a folder of OneDrive"),
    "r101-fpn": _AUTHORS(ap=38.1, by_hand="embed_mask_R101_ms_3x is in a folder of OneDrive"),
}
