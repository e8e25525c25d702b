"""Mask R-CNN without a pyramid against plain operators of torch and torchvision with its weights.

There is no recording of detectron2's C4 and DC5 models, and its names are derived from its
configuration (tests/golden/keys/d2_mask_rcnn_R_50_*.tsv.gz say so).
"""

import math
from pathlib import Path

import pytest
import single_map_toy
import torch
from overfitting import learn, two_images
from published import listed
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet50
from torchvision.ops import roi_align

from segcli.models import openvino_graph
from segcli.types import ModelInfo, Resize
from segcli_blocks.rcnn.anchors import anchors_of
from segcli_blocks.rcnn.rpn import RPN
from segcli_blocks.rcnn.two_stage import RoIHeads, TwoStage
from segcli_blocks.resnet import Norm, ResNet
from segcli_maskrcnn import FAMILY, single_map
from segcli_maskrcnn.single_map import SINGLE, Res5Heads, c4

VARIANTS = ["r50-c4", "r50-dc5"]
BOXES = [
    torch.tensor([[3.0, 5.0, 40.5, 90.0], [50.0, 2.0, 159.0, 60.0]]),
    torch.tensor([[0.0, 0.0, 160.0, 96.0], [70.3, 70.0, 75.0, 80.0], [8.0, 4.0, 24.0, 20.0]]),
]


def toy(variant: str, names: tuple[str, ...] = ("a", "b"), norm: Norm | None = None) -> TwoStage:
    torch.manual_seed(0)
    info = ModelInfo("maskrcnn", variant, names, tuple(range(len(names))), Resize(128, 128), 32)
    return single_map_toy.BUILD[variant](info, norm)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_dc5s_body_equals_torchvisions_dilated_resnet() -> None:
    torch.manual_seed(0)
    theirs = resnet50(weights=None, replace_stride_with_dilation=[False, False, True]).eval()
    for stage in (theirs.layer2, theirs.layer3):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    first = theirs.layer4[0].conv2  # torchvision leaves the first one as it is, detectron2 does not
    assert (first.stride, first.dilation) == ((1, 1), (1, 1))
    first.dilation = first.padding = (2, 2)
    ours = ResNet(50, nn.BatchNorm2d, caffe=True).eval()
    ours.dilate_last()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if k[:2] != "fc"})

    x = torch.randn(1, 3, 64, 96)
    y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
    for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
        y = stage(y)
    found = ours(x)[-1]
    assert found.shape == (1, 2048, 4, 6)
    close(found, y)


@torch.inference_mode()
def test_c4s_second_stage_equals_a_composition_of_plain_operators() -> None:
    torch.manual_seed(0)
    info = ModelInfo("maskrcnn", "r50-c4", ("a", "b"), (1, 2), Resize(96, 160), 32)
    heads = c4(info, ResNet(50, nn.BatchNorm2d, caffe=True)).eval().roi_heads
    state = heads.state_dict()
    layer4 = resnet50(weights=None).layer4.eval()
    layer4[0].conv1.stride, layer4[0].conv2.stride = (2, 2), (1, 1)
    layer4.load_state_dict({k[5:]: v for k, v in state.items() if k.startswith("res5.")})
    res4 = torch.randn(2, 1024, 6, 10)

    pooled = roi_align(res4, BOXES, 14, 1 / 16, sampling_ratio=-1, aligned=True)
    found = layer4(pooled)
    mean = F.adaptive_avg_pool2d(found, 1).flatten(1)
    classes, boxes, deconv, last = (
        [state[f"{name}.{part}"] for part in ("weight", "bias")]
        for name in (
            "box_predictor.cls_score", "box_predictor.bbox_pred",
            "mask_predictor.conv5_mask", "mask_predictor.mask_fcn_logits",
        )
    )  # fmt: skip
    masks = F.conv2d(F.conv_transpose2d(found, *deconv, stride=2).relu(), *last)

    logits, deltas = heads.classify([res4], BOXES)
    close(logits, F.linear(mean, *classes))
    close(deltas, F.linear(mean, *boxes))
    assert masks.shape == (5, 3, 14, 14)
    for label in range(2):
        of = torch.full((5,), label)
        found_masks, scores = heads.masks([res4], BOXES, of, torch.ones(5))
        close(found_masks, masks[:, label + 1].sigmoid())
        assert scores is None


def test_every_place_has_anchors_of_five_sizes_and_three_ratios() -> None:
    (anchors,) = anchors_of([(3, 5)], (48, 80), SINGLE)
    expected = []
    for row in range(3):
        for column in range(5):
            for size in (32, 64, 128, 256, 512):
                for ratio in (0.5, 1.0, 2.0):
                    w, h = size / math.sqrt(ratio), size * math.sqrt(ratio)
                    x, y = 16 * column, 16 * row
                    expected.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    close(anchors, torch.tensor(expected))


def test_a_logit_belongs_to_the_anchor_of_its_channel() -> None:
    logits, deltas = torch.full((1, 15, 12, 20), -9.0), torch.zeros(1, 60, 12, 20)
    logits[0, 3 * 2 + 1, 5, 7] = 9.0  # the third size, the second ratio: a square of 128 px
    deltas[0, (3 * 2 + 1) * 4, 5, 7] = 0.25  # a quarter of it to the right
    rpn = RPN(nn.Identity(), SINGLE).eval()
    scored = rpn([torch.zeros(1, 1, 12, 20)], [logits], [deltas], (192, 320))
    (proposals,) = rpn.propose(scored, [(192, 320)])
    close(proposals[0], torch.tensor([80.0, 16, 208, 144]))


@torch.inference_mode()
def test_regions_are_seen_a_part_at_a_time(monkeypatch) -> None:
    model = toy("r50-c4").eval()
    res4 = [torch.randn(2, 128, 6, 10)]
    expected = [*model.roi_heads.classify(res4, BOXES), model.roi_heads.mask_features(res4, BOXES)]
    monkeypatch.setattr(single_map, "_REGIONS", 2)
    found = [*model.roi_heads.classify(res4, BOXES), model.roi_heads.mask_features(res4, BOXES)]
    for one, other in zip(found, expected, strict=True):
        close(one, other)


def test_losses_and_gradients_are_those_of_the_parts_one_by_one(data: Path) -> None:
    (batch, targets), names = two_images(data, 128)
    model = toy("r50-c4", names)
    heads = model.roi_heads
    assert isinstance(heads, Res5Heads)
    maps, scored = model.first_stage(batch)
    proposals = model.rpn.propose(scored, batch.content_sizes)
    both = []
    for losses in (heads.losses, lambda *given: RoIHeads.losses(heads, *given)):
        model.zero_grad()
        torch.manual_seed(1)
        found = losses([m.detach() for m in maps], proposals, targets, batch.content_sizes)
        sum(found.values()).backward()
        both.append([*found.values(), *(p.grad for p in heads.parameters())])
        assert list(found) == ["class", "box", "mask"]
    for one, other in zip(*both, strict=True):
        close(one, other)


@pytest.mark.parametrize("variant", VARIANTS)
def test_openvino_computes_body_and_proposal_head(variant: str) -> None:
    if not openvino_graph.is_installed():
        pytest.skip("OpenVINO is not installed (extra openvino)")
    graph = openvino_graph.converted(toy(variant).eval())  # compares the results with torch's
    assert graph.constants


@pytest.mark.parametrize("variant", ["r50-c4", "r50-dc5", "r101-c4", "r101-dc5"])
def test_published_names_load(variant: str) -> None:
    depth, _, kind = variant.partition("-")
    names = {"c4": "d2_mask_rcnn_R_50_C4", "dc5": "d2_mask_rcnn_R_50_DC5"}
    state = listed(names[kind])
    if depth == "r101":  # 23 blocks in the fourth stage instead of 6
        last = {k: v for k, v in state.items() if k.startswith("backbone.res4.5.")}
        for block in range(6, 23):
            state |= {k.replace("res4.5", f"res4.{block}"): v for k, v in last.items()}
    info = FAMILY.variants[variant]
    converted = FAMILY.convert(state, info)
    with torch.device("meta"):
        model = FAMILY.build(info)
    model.load_state_dict(converted, assign=True)  # strict: nothing missing, nothing left over


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_two_real_images_are_learned_by_heart(variant: str, data: Path) -> None:
    pair, names = two_images(data, 128)
    model = toy(variant, names, lambda channels: nn.GroupNorm(4, channels))
    assert learn(model, pair, steps=300, rate=2e-3) == 1
