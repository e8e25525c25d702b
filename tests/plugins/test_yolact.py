"""YOLACT's parts on numbers small enough to check by hand, its checkpoints, and that it learns."""

from dataclasses import replace

import pytest
import torch
from overfitting import learn, two_images
from published import listed
from torch import nn

from segcli.errors import UsageError
from segcli.types import ModelInfo, Resize, Targets
from segcli_blocks.resnet import ResNet
from segcli_yolact import FAMILY
from segcli_yolact.heads import Anchors, Rescore, decode, encode, priors_of
from segcli_yolact.losses import class_loss
from segcli_yolact.masks import cropped, windows
from segcli_yolact.model import YOLACT, Options
from segcli_yolact.targets import NEUTRAL, Learning, Truth, match
from segcli_yolact.variants import anchors_for

PUBLISHED = {
    "r50": "yolact_resnet50",
    "r101": "yolact_base",
    "darknet53": "yolact_darknet53",
    "plus-r50": "yolact_plus_resnet50",
    "plus-r101": "yolact_plus_base",
}
CHOICES = Learning()


def load(state, info):
    converted = FAMILY.convert(state, info)
    with torch.device("meta"):
        model = FAMILY.build(info)
    model.load_state_dict(converted, assign=True)


# Checkpoints.


@pytest.mark.parametrize("variant", FAMILY.variants)
def test_published_checkpoints_load(variant):
    load(listed(PUBLISHED[variant]), FAMILY.variants[variant])


def test_a_checkpoint_of_twenty_categories_loads():
    names = tuple(str(i) for i in range(20))
    info = replace(FAMILY.variants["r50"], categories=names, category_ids=tuple(range(20)))
    load(listed("yolact_resnet50_pascal"), info)


def test_stale_entries_of_old_files_are_left_out():
    state = listed("yolact_resnet50")
    state["backbone.layer1.0.conv1.weight"] = torch.empty(1, device="meta")
    state["fpn.downsample_layers.2.weight"] = torch.empty(1, device="meta")
    load(state, FAMILY.variants["r50"])


def test_another_variants_checkpoint_is_refused_with_the_first_difference():
    with pytest.raises(UsageError, match=r"yolact/r50.*body\.layer3\.10"):
        FAMILY.convert(listed("yolact_base"), FAMILY.variants["r50"])


def test_another_familys_checkpoint_is_refused():
    with pytest.raises(UsageError, match=r"not the weights of yolact/r50: \d+ tensors missing"):
        FAMILY.convert(listed("solo_r50_fpn_8gpu_1x"), FAMILY.variants["r50"])


# Priors and masks.


def test_priors_go_by_row_column_and_ratio():
    found = priors_of([(1, 2)], (50, 100), Anchors(((10.0,),), (1.0, 4.0), square=False))
    centres = [[0.25, 0.5], [0.25, 0.5], [0.75, 0.5], [0.75, 0.5]]
    torch.testing.assert_close(found[:, :2], torch.tensor(centres))
    torch.testing.assert_close(found[:2, 2:], torch.tensor([[0.1, 0.2], [0.2, 0.1]]))


def test_the_first_models_have_square_anchors():
    found = priors_of([(1, 1)], (100, 100), Anchors(((10.0,),), (4.0,), square=True))
    torch.testing.assert_close(found[0, 2:], torch.tensor([0.2, 0.2]))


def test_the_authors_have_19248_priors():
    shapes = [(s, s) for s in (69, 35, 18, 9, 5)]
    assert len(priors_of(shapes, (550, 550), anchors_for(550, plus=False))) == 19248


def test_decoding_inverts_encoding():
    priors = torch.tensor([[0.5, 0.5, 0.2, 0.4]])
    boxes = torch.tensor([[0.3, 0.2, 0.8, 0.9]])
    torch.testing.assert_close(decode(encode(boxes, priors), priors), boxes)


def test_a_mask_is_its_box_and_a_cell_around():
    masks = cropped(torch.full((1, 8, 8), 9.0), torch.tensor([[0.25, 0.5, 0.5, 0.75]]))
    rows, columns = masks[0].nonzero().aminmax(dim=0)
    assert (rows.tolist(), columns.tolist()) == ([3, 1], [6, 4])


def test_windows_hold_what_the_whole_grid_holds():
    torch.manual_seed(0)
    logits = torch.randn(2, 8, 8)
    boxes = torch.tensor([[0.3, 0.4, 0.6, 0.7], [0.0, 0.5, 0.4, 1.0]])
    fields, extents = windows(logits, boxes, (80, 80))
    whole = cropped(logits, boxes)
    for field, (left, top, *_), mask in zip(
        fields, (extents / 10).int().tolist(), whole, strict=True
    ):
        total = 0.0
        for i, row in enumerate(field[: 8 - top], top):
            for j, value in enumerate(row[: 8 - left], left):
                if i >= 0 and j >= 0:
                    assert value == mask[i, j]
                    total += float(value)
        assert total == pytest.approx(float(mask.sum()))


def test_grids_too_small_for_rescoring_are_padded():
    assert Rescore(3)(torch.rand(2, 10, 12)).shape == (2, 3)


# What it learns from.


def truth(*boxes, labels=None, crowd=(), annotated=(True, True), side=16):
    box = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    masks = torch.zeros(len(box), side, side, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, (box * side).int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    label = torch.zeros(len(box), dtype=torch.long) if labels is None else torch.tensor(labels)
    crowds = torch.tensor(crowd, dtype=torch.float32).reshape(-1, 4)
    return Truth(box, label, masks, crowds, torch.tensor(annotated))


def test_priors_learn_by_overlap_and_every_object_gets_one():
    priors = torch.tensor(
        [
            [0.25, 0.25, 0.5, 0.5],
            [0.25, 0.25, 0.5, 0.34],
            [0.25, 0.25, 0.5, 0.22],
            [0.9, 0.9, 0.1, 0.1],
        ]
    )
    far = (0.6, 0.6, 0.9, 0.9)  # overlaps the last prior little, which is its best
    found = match(priors, truth((0, 0, 0.5, 0.5), far, labels=[3, 5]), CHOICES)
    assert found.classes.tolist() == [4, 4, NEUTRAL, 6]
    assert found.target[[0, 1, 3]].tolist() == [0, 0, 1]


def test_background_in_a_crowd_is_left_out():
    priors = torch.tensor([[0.25, 0.25, 0.2, 0.2], [0.75, 0.75, 0.2, 0.2]])
    found = match(priors, truth(crowd=[(0.0, 0.0, 0.5, 0.5)]), CHOICES)
    assert found.classes.tolist() == [NEUTRAL, 0]


def gradient_of_background(*annotated):
    """On the logits (background, two categories) of a background prior, beside one object."""
    logits = torch.zeros(2, 3, requires_grad=True)
    of = truth((0, 0, 1, 1), annotated=annotated)
    class_loss(logits, torch.tensor([1, 0]), of, CHOICES).backward()
    return logits.grad[1]


def test_background_pushes_annotated_categories_down():
    assert (gradient_of_background(True, True)[1:] > 0).all()


def test_a_category_that_is_not_annotated_is_not_pushed_down():
    gradient = gradient_of_background(True, False)
    assert gradient[1] > 0
    assert gradient[2] == 0


def test_only_the_hardest_background_counts():
    logits = torch.zeros(6, 2)
    logits[1:, 1] = torch.tensor([5.0, 4.0, 3.0, -9.0, -9.0])
    classes = torch.tensor([1, 0, 0, 0, 0, 0])
    of = truth((0, 0, 1, 1), annotated=(True,))
    few = class_loss(logits, classes, of, CHOICES)
    more = class_loss(logits[:4], classes[:4], of, CHOICES)
    assert few == more


def test_small_batches_use_the_running_statistics():
    model, before = toy(("a",)), None
    before = model.body.bn1.running_mean.clone()
    batch, targets = noise(2)
    model.train().losses(batch, targets)
    assert model.body.bn1.running_mean.equal(before)


def noise(count):
    from segcli.types import Batch

    pixels = torch.randint(0, 255, (count, 3, 64, 64), dtype=torch.uint8)
    batch = Batch(("a",) * count, pixels, ((64, 64),) * count, ((64, 64),) * count)
    masks = torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[:, 8:40, 8:40] = True
    target = Targets(
        torch.tensor([0]), torch.tensor([[8.0, 8.0, 40.0, 40.0]]), masks, torch.tensor([False])
    )
    return batch, [target] * count


def toy(names, side=96):
    """Everything of the real one, narrow."""
    torch.manual_seed(0)
    body = ResNet(18, nn.BatchNorm2d, width=16)
    info = ModelInfo(
        "yolact", "r50", tuple(names), tuple(range(len(names))),
        Resize(side, side, mode="stretch"), 1,
    )  # fmt: skip
    model = YOLACT(
        info, body, inputs=body.channels[1:], width=32, prototypes=8,
        options=Options(anchors_for(side, plus=False)),
    )  # fmt: skip
    model.initialise()
    return model


@pytest.mark.slow
def test_it_learns_two_images_by_heart(data):
    pair, names = two_images(data, 96)
    assert learn(toy(names), pair, steps=300, rate=1e-3) == 1.0
