"""What Mask R-CNN learns from, on boxes and masks small enough to check by hand."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from overfitting import learn, two_images
from published import published_state
from torch import Tensor
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.models.detection.rpn import RPNHead
from toy_pyramid import ToyPyramid

from segcli.errors import UsageError
from segcli.types import ModelInfo, Resize, Targets
from segcli_blocks.rcnn.anchors import anchors_of
from segcli_blocks.rcnn.box_head import agnostic_box_predictor
from segcli_blocks.rcnn.conventions import LIGHT, TORCHVISION
from segcli_blocks.rcnn.losses import box_losses, mask_loss, mask_targets, rpn_losses
from segcli_blocks.rcnn.mask_head import mask_predictor
from segcli_blocks.rcnn.rpn import propose
from segcli_blocks.rcnn.sampler import region_targets
from segcli_blocks.rcnn.two_stage import RoIHeads, TwoStage, fpn_heads
from segcli_maskrcnn import FAMILY


def targets(*boxes: tuple[float, ...], labels=None, crowd=None, exhaustive=None) -> Targets:
    box = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    masks = torch.zeros((len(box), 64, 64), dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, box.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    return Targets(
        labels=torch.zeros(len(box), dtype=torch.long) if labels is None else torch.tensor(labels),
        boxes=box,
        masks=masks,
        crowd=torch.zeros(len(box), dtype=torch.bool) if crowd is None else torch.tensor(crowd),
        exhaustive=exhaustive,
    )


def test_a_region_takes_the_label_of_the_object_it_covers() -> None:
    proposals = torch.tensor([[0.0, 0.0, 10.0, 10.0], [30.0, 30.0, 50.0, 50.0]])
    found = region_targets(proposals, targets((0, 0, 10, 12), labels=[4]), 8)
    by_box = dict(zip(map(tuple, found.boxes.tolist()), found.labels.tolist(), strict=True))
    assert by_box == {
        (0.0, 0.0, 10.0, 10.0): 4,
        (30.0, 30.0, 50.0, 50.0): -1,
        (0.0, 0.0, 10.0, 12.0): 4,  # the object's own box is offered too
    }


def test_a_region_in_a_crowd_is_neither_object_nor_background() -> None:
    proposals = torch.tensor([[32.0, 32.0, 42.0, 42.0], [0.0, 0.0, 8.0, 8.0]])
    crowd = targets((30, 30, 60, 60), crowd=[True])
    found = region_targets(proposals, crowd, 8)
    assert found.boxes.tolist() == [[0.0, 0.0, 8.0, 8.0]]
    assert found.labels.tolist() == [-1]


def test_the_number_of_regions_is_limited() -> None:
    torch.manual_seed(0)
    corner = torch.rand(100, 2) * 40
    proposals = torch.cat((corner, corner + 10), dim=1)
    assert len(region_targets(proposals, targets((0, 0, 10, 10)), 16).labels) == 16


def class_gradient(exhaustive: Tensor | None) -> Tensor:
    """The gradient of the class loss on the logits (background, two categories) of one region."""
    truth = targets(exhaustive=exhaustive)
    regions = region_targets(torch.tensor([[0.0, 0.0, 9.0, 9.0]]), truth, 8)
    logits = torch.zeros((1, 3), requires_grad=True)
    classes, box = box_losses(
        logits, torch.zeros((1, 4)), [regions], positions=torch.tensor([1, 2]), agnostic=True,
        beta=1 / 9,
    )  # fmt: skip
    (classes + box).backward()
    return logits.grad[0]


def test_background_pushes_every_annotated_category_down() -> None:
    assert (class_gradient(None)[1:] > 0).all()


def test_a_category_that_is_not_annotated_is_not_pushed_down() -> None:
    gradient = class_gradient(torch.tensor([True, False]))
    assert gradient[1] > 0
    assert gradient[2] == 0


def objectness_gradient(exhaustive: Tensor | None) -> Tensor:
    """The gradient on two far anchors' logits: one that the network believes in, one not."""
    anchors = torch.tensor([[0.0, 0.0, 8.0, 8.0], [30.0, 30.0, 38.0, 38.0]])
    logits = torch.tensor([[3.0, -3.0]], requires_grad=True)
    truth = targets(exhaustive=exhaustive)
    objectness, box = rpn_losses(logits, torch.zeros((1, 2, 4)), anchors, [truth], 1 / 9)
    (objectness + box).backward()
    return logits.grad[0]


def test_an_anchor_that_may_be_an_unannotated_object_is_left_out() -> None:
    assert (objectness_gradient(None) > 0).all()
    believed, not_believed = objectness_gradient(torch.tensor([True, False]))
    assert believed == 0
    assert not_believed > 0


def test_the_mask_is_cut_out_by_the_box_without_a_shift() -> None:
    truth = targets((8, 8, 36, 36))
    regions = region_targets(torch.zeros((0, 4)), truth, 4)
    half = torch.zeros((1, 28, 28))
    truth.masks[0, :, 22:] = False  # the left 14 columns of the box belong to the object
    half[:, :, :14] = 20.0
    half[:, :, 14:] = -20.0
    assert mask_loss(half, mask_targets([regions], [truth], 28, LIGHT)) < 1e-3
    assert mask_loss(half, mask_targets([regions], [truth], 28, TORCHVISION)) > 0.1


def test_anchors_keep_the_true_stride_where_the_canvas_is_no_multiple() -> None:
    shapes = [(16, 20), (8, 10), (4, 5), (2, 3), (1, 2)]
    light = anchors_of(shapes, (64, 80), LIGHT)
    assert light[3][3, 0] - light[3][0, 0] == 32
    legacy = anchors_of(shapes, (64, 80), TORCHVISION)  # torchvision divides: 80 // 3
    assert legacy[3][3, 0] - legacy[3][0, 0] == 26


def test_proposals_stay_inside_the_content() -> None:
    anchors = [torch.tensor([[-10.0, -10.0, 20.0, 20.0]])]
    found = propose(
        [torch.zeros(1)], [torch.zeros((1, 4))], anchors, (15, 12), conventions=LIGHT,
        training=False,
    )  # fmt: skip
    assert found.tolist() == [[0.0, 0.0, 12.0, 15.0]]


def test_a_frozen_stem_learns_nothing_and_the_rest_does() -> None:
    model = FAMILY.build(FAMILY.variants["mobilenet"])
    model.freeze_stem()
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen
    assert all(name.startswith("backbone.body.features.") for name in frozen)
    assert {name.split(".")[3] for name in frozen} == {"0", "1", "2", "3"}


def test_an_imagenet_body_is_a_beginning_for_the_light_variant_only() -> None:
    from torchvision.models import mobilenet_v2

    classifier = mobilenet_v2(weights=None).state_dict()
    light = FAMILY.variants["mobilenet"]
    found = FAMILY.convert(classifier, light)
    missing = FAMILY.build(light).load_state_dict(found, strict=False).missing_keys
    assert not [name for name in missing if name.startswith("backbone.body.")]
    with pytest.raises(UsageError, match="not the weights of maskrcnn/r50-fpn"):
        FAMILY.convert(classifier, FAMILY.variants["r50-fpn"])


def toy(categories: tuple[str, ...]) -> TwoStage:
    torch.manual_seed(0)
    size = len(categories)
    info = ModelInfo("maskrcnn", "toy", categories, tuple(range(size)), Resize(128, 128), 64)
    roi_heads = RoIHeads(
        TwoMLPHead(32 * 49, 64),
        agnostic_box_predictor(64, size + 1),
        MaskRCNNHeads(32, (32,) * 2, 1),
        mask_predictor(32, 1),
        conventions=replace(LIGHT, region_samples=64),
        classes=range(1, size + 1),
        agnostic=True,
    )
    return TwoStage(info, backbone=ToyPyramid(), rpn_head=RPNHead(32, 3), roi_heads=roi_heads)


@pytest.mark.slow
def test_two_real_images_are_learned_by_heart(data: Path) -> None:
    pair, names = two_images(data, 128)
    assert learn(toy(names), pair, steps=300, rate=2e-3) == 1


def test_another_family_of_the_same_framework_is_refused() -> None:
    condinst = published_state("condinst_MS_R_50_1x")
    with pytest.raises(
        UsageError, match=r"not the weights of maskrcnn/r101-fpn: \d+ tensors missing"
    ):
        FAMILY.convert(condinst, FAMILY.variants["r101-fpn"])


def test_no_region_at_all_is_left_to_torch() -> None:
    layers = fpn_heads(3, width=8, hidden=8, depth=1)
    heads = RoIHeads(*layers, conventions=TORCHVISION, classes=[1, 2])
    heads.compiled["box"] = lambda *_: []  # a compiled head takes at least one region
    logits, deltas = heads.computed("box", torch.zeros(0, 8, 7, 7), [torch.zeros(0, 4)])
    assert (logits.shape, deltas.shape) == ((0, 3), (0, 12))
