"""The checkpoints that the authors publish, trained on COCO, in transformers' format."""

from functools import partial

from segcli.plugin import Published

_HUB = "https://huggingface.co/tue-mps/coco_instance_eomt_large_{}/resolve/main/model.safetensors"
_AUTHORS = partial(Published, licence="MIT", source="github.com/tue-mps/eomt, model_zoo/dinov2.md")

PUBLISHED = {
    "large-640": _AUTHORS(url=_HUB.format(640), ap=45.2),
    "large-1280": _AUTHORS(url=_HUB.format(1280), ap=48.8),
}
