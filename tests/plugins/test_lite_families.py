"""The variants `lite2` of the families that replace Mask R-CNN's second stage."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from overfitting import two_images
from rectangles import padded_batch
from test_maskrcnn_lite import losses_of, published

import segcli_cascade.variants as cascade
import segcli_maskscoring.variants as maskscoring
import segcli_pointrend.variants as pointrend
from segcli.models import checkpoint, registry
from segcli.types import ModelInfo, Resize
from segcli_blocks.efficientnet_lite import EfficientNetLite

FAMILIES = {"cascade": cascade, "maskscoring": maskscoring, "pointrend": pointrend}
every_family = pytest.mark.parametrize("name", sorted(FAMILIES))


def meta_model(name: str) -> torch.nn.Module:
    """The variant without memory for its weights."""
    family, info = registry.find(f"{name}/lite2")
    with torch.device("meta"):
        return family.build(info)


@every_family
def test_the_first_stage_is_that_of_the_shipped_model(name: str) -> None:
    info, weights = checkpoint.load(registry.shipped("maskrcnn")["lite2"])
    model = meta_model(name)
    assert model.info.categories == info.categories
    first = {n: t.shape for n, t in weights.items() if n.startswith(("backbone.", "rpn."))}
    ours = {n: t.shape for n, t in model.state_dict().items() if not n.startswith("roi_heads.")}
    assert ours == first


@every_family
def test_an_imagenet_body_fills_the_variants_body_and_no_more(name: str) -> None:
    family, info = registry.find(f"{name}/lite2")
    found = family.convert(published(EfficientNetLite(2)), info)
    body = {n for n in meta_model(name).state_dict() if n.startswith("backbone.body.")}
    assert set(found) == body


@every_family
def test_a_narrow_one_keeps_the_promises_of_a_family(name: str) -> None:
    model = toy(name, ("cat", "dog")).eval()
    batch = padded_batch()
    found = model.predict(batch, min_score=0.0, max_masks=3)
    assert len(found) == len(batch.keys)
    side = {"cascade": 28, "maskscoring": 28, "pointrend": 224}[name]
    for one in found:
        assert one.fields.shape == (3, side, side)
        assert one.fields.isfinite().all()
        assert one.scores.shape == one.labels.shape == (3,)
        assert ((one.scores >= 0) & (one.scores <= 1)).all()
        assert (one.mask_scores is not None) == (name == "maskscoring")
    cats = model.predict(batch, min_score=0.0, max_masks=3, categories=frozenset({1}))
    assert {int(label) for one in cats for label in one.labels} == {1}


@every_family
def test_classes_and_masks_are_learned_from_two_real_images(name: str, data: Path) -> None:
    pair, names = two_images(data, 128)
    model = toy(name, names).train()
    model.roi_heads.conventions = replace(model.roi_heads.conventions, region_samples=32)
    before = losses_of(model, *pair)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(16):
        optimiser.zero_grad()
        sum(model.losses(*pair).values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
    after = losses_of(model, *pair)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    classes = [loss for loss in before if loss.startswith("class")]
    assert all(after[loss] < 0.75 * before[loss] for loss in classes)
    assert after["mask"] < 0.97 * before["mask"]


def toy(name: str, names: tuple[str, ...]) -> torch.nn.Module:
    """Narrow pyramid and heads on the smaller body."""
    torch.manual_seed(0)
    info = ModelInfo(name, "toy", names, tuple(range(len(names))), Resize(128, 128), 32)
    model: torch.nn.Module = FAMILIES[name].separable(info, EfficientNetLite(1), width=32)
    return model
