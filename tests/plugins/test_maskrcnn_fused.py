"""Mask R-CNN rewritten for bfloat16 sees what it sees in float32."""

import copy

import pytest
import torch
from rectangles import padded_batch
from torch import Tensor
from torchvision.ops import roi_align

from segcli.plugin import Fusible
from segcli.types import Batch
from segcli_blocks.rcnn.conventions import LIGHT, TORCHVISION
from segcli_blocks.rcnn.roi_pool import Pooler
from segcli_blocks.rcnn.rpn import Scored
from segcli_blocks.rcnn.two_stage import TwoStage
from segcli_maskrcnn import FAMILY
from segcli_maskrcnn.variants import build

BOXES = torch.tensor([[3.0, 5.0, 40.0, 90.0], [50.0, 2.0, 127.0, 60.0], [70.0, 70.0, 75.0, 80.0]])


@pytest.fixture(scope="module")
def plain() -> TwoStage:
    torch.manual_seed(0)
    return build(FAMILY.variants["mobilenet"]).eval()


@pytest.fixture(scope="module")
def fused(plain: TwoStage) -> TwoStage:
    assert isinstance(plain, Fusible)
    model = copy.deepcopy(plain)
    model.fuse(torch.bfloat16)
    return model


@pytest.fixture(scope="module")
def batch() -> Batch:
    return padded_batch()


def assert_near(found: Tensor, expected: Tensor) -> None:
    """Within a few roundings of eight bits, measured by the spread of what is expected."""
    assert found.shape == expected.shape
    assert (found.float() - expected).abs().mean() < 0.03 * expected.std()


def both(scored: Scored) -> list[Tensor]:
    return scored.logits + scored.deltas


@torch.inference_mode()
def test_both_stages_answer_alike(plain, fused, batch) -> None:
    maps, scored = plain.first_stage(batch)
    of = torch.tensor([1, 2, 3])
    with torch.autocast("cpu", torch.bfloat16):
        fused_maps, fused_scored = fused.first_stage(batch)
        fused_classes, fused_boxes = fused.roi_heads.classify(fused_maps, [BOXES])
        features = fused.roi_heads.mask_features(fused_maps, [BOXES])
        fused_masks = fused.roi_heads.mask_logits(features, of)
    assert fused_maps[0].dtype == torch.bfloat16
    assert fused_scored.logits[0].dtype == fused_classes.dtype == fused_masks.dtype == torch.float32
    for found, expected in zip(fused_maps, maps, strict=True):
        assert_near(found, expected)
    for found, expected in zip(both(fused_scored), both(scored), strict=True):
        assert_near(found, expected)
    classes, boxes = plain.roi_heads.classify(maps, [BOXES])
    assert_near(fused_classes, classes)
    assert_near(fused_boxes, boxes)
    features = plain.roi_heads.mask_features(maps, [BOXES])
    assert_near(fused_masks, plain.roi_heads.mask_logits(features, of))


@torch.inference_mode()
def test_a_model_fused_in_float32_differs_by_rounding_only(plain, batch) -> None:
    model = copy.deepcopy(plain)
    model.fuse(torch.float32)
    maps, scored = plain.first_stage(batch)
    near = {"atol": 1e-4, "rtol": 1e-4}
    fused_maps, fused_scored = model.first_stage(batch)
    torch.testing.assert_close(fused_maps, maps, **near)
    torch.testing.assert_close(both(fused_scored), both(scored), **near)
    assert model.roi_heads.box_pool.by_rows
    pooled, expected = (m.roi_heads.box_pool(maps[:4], [BOXES]) for m in (model, plain))
    torch.testing.assert_close(pooled, expected, **near)
    found, wanted = (m.roi_heads.classify(maps, [BOXES]) for m in (model, plain))
    torch.testing.assert_close(found, wanted, **near)


@pytest.mark.parametrize("conventions", [LIGHT, TORCHVISION])
def test_regions_take_their_features_from_the_level_of_their_size(conventions) -> None:
    sizes = [32, 16, 8, 4]
    maps = [
        torch.randn(2, 6, size, size).contiguous(memory_format=torch.channels_last).bfloat16()
        for size in sizes
    ]
    # Sides of 1/4, 1/2, 1 and 2 times that of level 4, in an order that mixes levels and images.
    side = conventions.canonical
    boxes = torch.tensor([[1.0, 2.0, 1.0 + side * s, 2.0 + side * s] for s in (1, 0.25, 2, 0.5)])
    levels = [2, 0, 3, 1]
    found = Pooler(7, conventions)(maps, [boxes[:1], boxes[1:]])
    assert found.dtype == torch.bfloat16
    for index, (box, level) in enumerate(zip(boxes, levels, strict=True)):
        region = torch.cat((torch.tensor([float(index > 0)]), box))[None]
        expected = roi_align(
            maps[level].float().contiguous(), region, 7, 0.25 / 2**level,
            sampling_ratio=conventions.sampling_ratio, aligned=conventions.aligned,
        )  # fmt: skip
        torch.testing.assert_close(found[index].float(), expected[0], atol=0.03, rtol=0.03)
