"""The light variants: what they take from ImageNet, and that a narrow one learns."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from overfitting import learn, two_images
from torch import nn

from segcli.errors import UsageError
from segcli.types import Batch, ModelInfo, Resize
from segcli_blocks.efficientnet_lite import EfficientNetLite
from segcli_blocks.rcnn import lite
from segcli_maskrcnn import FAMILY
from segcli_maskrcnn.variants import separable


def published(body: EfficientNetLite) -> dict[str, torch.Tensor]:
    """The body's weights under the names of the released ones."""
    found = {}
    for name, tensor in body.state_dict().items():
        parts = name.replace(".conv.", ".").split(".")
        if parts[0] == "blocks":
            names = ["expand", "depthwise", "project"][-len(body.blocks[int(parts[1])].layers) :]
            parts[2:4] = [names[int(parts[3])]]
        found[".".join(parts)] = tensor.half()
    return found


@pytest.mark.parametrize("size", [1, 2])
def test_the_released_body_fills_the_variants_body_and_no_more(size: int) -> None:
    info = FAMILY.variants[f"lite{size}"]
    state = published(EfficientNetLite(size))
    assert {"stem.weight", "blocks.0.depthwise.bias", "blocks.1.expand.weight"} <= set(state)
    model = FAMILY.build(info)
    found = FAMILY.convert(state, info)
    missing, surplus = model.load_state_dict(found, strict=False)
    assert not surplus
    assert not [name for name in missing if name.startswith("backbone.body.")]
    with pytest.raises(UsageError, match="not the weights of maskrcnn/mobilenet"):
        FAMILY.convert(state, FAMILY.variants["mobilenet"])


def test_lite2_fits_into_sixteen_megabytes_of_float16() -> None:
    with torch.device("meta"):
        model = FAMILY.build(FAMILY.variants["lite2"])
    assert 2 * sum(p.numel() for p in model.parameters()) < 16e6
    assert model.info.categories[-5:] == ("cat", "dog", "horse", "sheep", "cow")


def test_calibrated_laterals_give_unit_spread() -> None:
    torch.manual_seed(0)
    pyramid = lite.SeparablePyramid(EfficientNetLite(1), 16)
    x = torch.randn(2, 3, 64, 96)
    pyramid.calibrate(x)
    for lateral, features in zip(pyramid.laterals, pyramid.body(x), strict=True):
        assert lateral(features).std((0, 2, 3)).max() < 1.1
        assert lateral(features).mean((0, 2, 3)).abs().max() < 1e-3


def test_fused_weights_are_bfloat16_depthwise_ones_too() -> None:
    model = toy(("cat",)).eval()
    model.fuse(torch.bfloat16)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert {m.weight.dtype for m in convolutions} == {torch.bfloat16}
    assert any(m.groups > 1 for m in convolutions)


def test_the_mask_loss_begins_at_chance(data: Path) -> None:
    (batch, targets), names = two_images(data, 128)
    model = toy(names)
    losses = model.losses(batch, targets)
    assert float(losses["mask"].detach()) == pytest.approx(math.log(2), abs=0.02)


def test_objects_with_a_box_alone_teach_no_mask(data: Path) -> None:
    (batch, targets), names = two_images(data, 128)
    model = toy(names)
    known = losses_of(model, batch, targets)
    boxes = [_without_outlines(target) for target in targets]
    unknown = losses_of(model, batch, boxes)
    assert known["mask"] > 0
    assert unknown["mask"] == 0
    assert {**unknown, "mask": 0} == {**known, "mask": 0}


@pytest.mark.slow
def test_two_real_images_are_learned_by_heart(data: Path) -> None:
    pair, names = two_images(data, 128)
    model = toy(names)
    assert learn(model, pair, steps=200, rate=1e-3) == 1


def toy(names: tuple[str, ...]) -> nn.Module:
    """Two stages of narrow blocks under narrow heads."""
    torch.manual_seed(0)
    info = ModelInfo("maskrcnn", "lite1", names, tuple(range(len(names))), Resize(128, 128), 32)
    model = separable(info, EfficientNetLite(1), width=32)
    return model.train()


def losses_of(model: nn.Module, batch: Batch, targets) -> dict[str, float]:
    torch.manual_seed(1)
    with torch.no_grad():
        return {name: float(value) for name, value in model.losses(batch, targets).items()}


def _without_outlines(target):
    return replace(target, outlined=torch.zeros(len(target.labels), dtype=torch.bool))
