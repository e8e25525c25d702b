"""EoMT: a vision transformer whose last layers see queries as well; needs the extra `hf`."""

from segcli.types import Resize
from segcli_blocks.family import coco_family
from segcli_eomt.published import PUBLISHED

# The long side becomes that of the square; with this stride nearly every canvas is the square, so
# that images of any shape share a batch.
FAMILY = coco_family(
    "eomt",
    {"large-640": Resize(640, 640), "large-1280": Resize(1280, 1280)},
    stride=640,
    published=PUBLISHED,
    requires={"transformers": "pip install 'segcli[hf]'"},
)
