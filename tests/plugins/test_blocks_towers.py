"""Head parts, upsampling, suppression and bodies."""

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2, resnet50

from segcli_blocks.backbone import p3_to_p7, rescale_laterals
from segcli_blocks.efficientnet_lite import EfficientNetLite
from segcli_blocks.mobilenet import MobileNetV2, from_imagenet
from segcli_blocks.nms import class_nms
from segcli_blocks.resnet import ResNet, frozen_norm
from segcli_blocks.towers import conv_at, coordinates, patches, tower
from segcli_blocks.upsample import aligned_bilinear


def test_aligned_bilinear_by_hand():
    x = torch.tensor([[[[0.0, 4.0, 8.0]]]])
    assert aligned_bilinear(x, 1) is x
    assert aligned_bilinear(x, 2)[0, 0, 0].tolist() == [0, 0, 2, 4, 6, 8]
    four = aligned_bilinear(x, 4)[0, 0, 0].tolist()
    assert four == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8]


def test_coordinates_run_from_minus_one_to_one():
    found = coordinates(torch.zeros(2, 7, 3, 5))
    assert found.shape == (2, 2, 3, 5)
    assert found[1, 0, 2].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert found[0, 1, :, 4].tolist() == [-1, 0, 1]


def test_conv_at_equals_the_convolution():
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 3, 3, padding=1)
    maps = torch.randn(2, 4, 3, 5)
    image = torch.tensor([1, 0, 1, 1])
    index = torch.tensor([0, 7, 14, 4])
    expected = conv(maps).flatten(2)[image, :, index]
    found = conv_at(conv, patches(maps, image, index))
    torch.testing.assert_close(found, expected)


def test_conv_at_nowhere_keeps_the_graph():
    conv = nn.Conv2d(4, 3, 3, padding=1)
    nowhere = torch.zeros(0, dtype=torch.long)
    conv_at(conv, patches(torch.randn(1, 4, 3, 5), nowhere, nowhere)).sum().backward()
    assert conv.weight.grad is not None
    assert not conv.weight.grad.any()


def test_tower_layers():
    found = tower(8, 32, 2)
    kinds = [type(layer).__name__ for layer in found]
    assert kinds == ["Conv2d", "GroupNorm", "ReLU"] * 2
    assert found(torch.randn(1, 8, 4, 4)).shape == (1, 32, 4, 4)
    assert tower(8, 32, 1, bias=False)[0].bias is None


def test_class_nms_suppresses_within_a_class_only():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9], [-20, -20, -10, -10]])
    scores, labels = torch.tensor([0.9, 0.8, 0.95, 0.1]), torch.tensor([0, 0, 1, 0])
    assert class_nms(boxes, scores, labels, 0.6).tolist() == [2, 0, 3]
    assert class_nms(boxes[:2], scores[:2], labels[:2], 0.91).tolist() == [0, 1]  # IoU 0.9
    assert class_nms(boxes[:0], scores[:0], labels[:0], 0.6).tolist() == []


def test_class_nms_is_exact_for_high_labels():
    """A float32 offset of a thousand classes would move corners by whole pixels."""
    boxes = torch.tensor([[0.1, 0, 4.1, 4], [2.5, 0, 6.5, 4]]) + 3000
    scores, labels = torch.tensor([0.9, 0.8]), torch.tensor([9999, 9999])
    assert len(class_nms(boxes, scores, labels, 0.26)) == 2  # IoU 0.25
    assert len(class_nms(boxes, scores, labels, 0.24)) == 1


def test_resnet_equals_torchvision():
    torch.manual_seed(0)
    theirs = resnet50(weights=None).eval()
    ours = ResNet(50, nn.BatchNorm2d).eval()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if k[:2] != "fc"})
    x = torch.randn(1, 3, 64, 96)
    maps = ours(x)
    y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
    for stage, found in zip(("layer1", "layer2", "layer3", "layer4"), maps, strict=True):
        y = getattr(theirs, stage)(y)
        assert torch.equal(found, y)
    assert [m.shape[1] for m in maps] == list(ours.channels)


def test_caffe_style_moves_the_stride():
    body = ResNet(50, frozen_norm(0.0), caffe=True, width=8)
    for stage in (body.layer2, body.layer3, body.layer4):
        assert stage[0].conv1.stride == (2, 2)
        assert stage[0].conv2.stride == (1, 1)
        assert stage[1].conv1.stride == (1, 1)
    assert body.layer1[0].conv1.stride == (1, 1)


@pytest.mark.parametrize("depth", [18, 101])
def test_maps_stay_of_order_one(depth):
    torch.manual_seed(0)
    body = ResNet(depth, frozen_norm(), width=16)
    with torch.no_grad():
        maps = body(torch.randn(1, 3, 64, 64))
    assert all(0.05 < float(m.std()) < 50 for m in maps)


def test_freeze_leaves_later_stages():
    body = ResNet(18, nn.BatchNorm2d, width=8)
    body.freeze_stem()
    free = {name.split(".")[0] for name, p in body.named_parameters() if p.requires_grad}
    assert free == {"layer2", "layer3", "layer4"}


@pytest.mark.parametrize(
    "body", [ResNet(18, nn.BatchNorm2d, width=8), MobileNetV2(), EfficientNetLite(1)]
)
def test_the_four_stages_have_all_layers_of_a_body(body):
    stages = [{id(p) for layer in stage for p in layer.parameters()} for stage in body.stages()]
    assert len(stages) == len(body.channels)
    assert sum(map(len, stages)) == len(set().union(*stages))
    assert set().union(*stages) == {id(p) for p in body.parameters()}


def test_pyramid_sizes():
    backbone = p3_to_p7(ResNet(18, nn.BatchNorm2d, width=8), 16)
    maps = backbone(torch.randn(1, 3, 96, 160))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (16, 12, 20), (16, 6, 10), (16, 3, 5), (16, 2, 3), (16, 1, 2),
    ]  # fmt: skip


def test_rescaled_laterals_give_comparable_levels():
    torch.manual_seed(0)
    body = MobileNetV2()
    backbone = p3_to_p7(body, 16)
    maps = [m * 100**i for i, m in enumerate(body(torch.randn(2, 3, 64, 64)))]
    rescale_laterals(backbone.fpn, maps)
    blocks = zip(maps[1:], backbone.fpn.inner_blocks, strict=True)
    with torch.no_grad():
        spreads = [float(block(m).std()) for m, block in blocks]
    assert max(spreads) < 10 * min(spreads)


def test_imagenet_mobilenet_loads_folded():
    """Away from the borders (the padding differs) the folded body is torchvision's."""
    torch.manual_seed(0)
    theirs = mobilenet_v2(weights=None).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.weight, 0.5, 2.0)
    ours = MobileNetV2().eval()
    ours.load_state_dict(from_imagenet(theirs.state_dict(), ""))
    x = torch.randn(1, 24, 8, 8)
    torch.testing.assert_close(ours.features[3](x), theirs.features[3](x), rtol=1e-3, atol=1e-4)
    assert [m.shape[1] for m in ours(torch.randn(1, 3, 64, 64))] == list(ours.channels)
