"""The watershed's parts on numbers small enough to check by hand, and that it learns."""

import numpy as np
import pytest
import torch
from overfitting import learn, two_images
from torchvision.models import mobilenet_v2, resnet50

from segcli.errors import UsageError
from segcli.types import ModelInfo, Resize
from segcli_blocks.resnet import ResNet, fixed_statistics
from segcli_blocks.segmenter import Selection
from segcli_watershed import FAMILY
from segcli_watershed.losses import angles, direction_loss, level_loss
from segcli_watershed.masks import Cut, Objects, classes_of, decode
from segcli_watershed.targets import landscape, rim, slope
from segcli_watershed.variants import assemble

# Targets.


def square(side=12, low=1, high=11):
    ids = np.zeros((side, side), dtype=np.int64)
    ids[low:high, low:high] = 1
    return ids


def test_levels_and_directions_of_a_square():
    found = landscape(square())
    assert found.distance[5].tolist() == [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0]
    assert found.level[5].tolist() == [0, 0, 1, 2, 3, 4, 4, 3, 2, 1, 0, 0]  # (0, 1] is level 0
    assert found.weight[5, 5] == pytest.approx(200 / 10)
    x, y = found.direction
    assert x[5, 3] == pytest.approx(1.0)  # one px farther from the rim per px
    assert y[5, 3] == pytest.approx(0.0)
    assert x[5, 8] == pytest.approx(-1.0)
    assert y[3, 5] == pytest.approx(1.0)


def test_touching_objects_have_a_valley_between_them():
    ids = square(24, 2, 22)
    ids[:, 12:] *= 2
    found = landscape(ids)
    assert found.distance[10, 11] == found.distance[10, 12] == 1
    assert (found.direction[:, 10, 11:13] == 0).all()  # the rim has no direction
    assert found.direction[0, 10, 10] < 0 < found.direction[0, 10, 13]


def test_small_objects_teach_nothing():
    found = landscape(square(8, 1, 7))
    assert found.distance.max() == found.weight.max() == 0
    assert landscape(square(8, 1, 7), smallest=36).distance.max() == 3


def test_an_image_that_is_all_object():
    found = landscape(np.ones((12, 15), dtype=np.int64))
    assert (found.level == 8).all()  # 15 px is in (12, 15]
    assert landscape(np.zeros((12, 15), dtype=np.int64)).level.max() == 0


def test_slope_of_a_ramp():
    ramp = torch.arange(5.0).repeat(4, 1)
    x, y = slope(ramp)
    assert x[1].tolist() == [0.5, 1, 1, 1, 0.5]
    assert (y == 0).all()


def test_rim_is_on_both_sides():
    assert rim(torch.tensor([[0, 0, 1, 1, 2]])).tolist() == [[False, True, True, True, True]]


# Losses.


def test_angles_between_directions():
    right, up = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 0.1])
    pairs = [(right, right), (right, up), (right, -right), (right, 0 * up)]
    found = torch.stack([a for a, _ in pairs]).T[None, :, None]
    wanted = torch.stack([b for _, b in pairs]).T[None, :, None]
    expected = torch.tensor([0, 0.5, 1, 0.5]) * torch.pi
    torch.testing.assert_close(angles(found, wanted)[0, 0], expected, atol=3e-3, rtol=0)


def test_direction_loss_counts_pixels_and_not_weights():
    found, wanted = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    inside = torch.tensor([[[1.0, 1.0, 0.0]]])
    loss = direction_loss(
        found.view(1, 2, 1, 1).expand(1, 2, 1, 3), wanted.view(1, 2, 1, 1).expand(1, 2, 1, 3),
        inside, 6 * inside,
    )  # fmt: skip
    assert loss == pytest.approx(2 * 6 * (torch.pi / 2) ** 2 / 3)


def test_low_levels_cost_three_times_as_much():
    even, one = torch.zeros(1, 16, 1, 1), torch.ones(1, 1, 1)
    low, high = (level_loss(even, torch.full((1, 1, 1), at), one, one).item() for at in (0, 9))
    known, unknown = np.log(16), -np.log(15 / 16)
    assert low == pytest.approx((3 * known + (3 + 3 + 2 + 12) * unknown) / 2)
    assert high == pytest.approx((known + (3 + 3 + 3 + 2 + 11) * unknown) / 2)


# Objects.


def test_a_cut_parts_what_touches():
    levels = np.zeros((20, 30), dtype=np.int64)
    levels[4:16, 4:14] = levels[4:16, 16:26] = 3
    levels[8:10, 14:16] = 1  # a shallow bridge
    classes = np.zeros((20, 30), dtype=np.int64)
    objects, labels = decode(levels, classes, [Cut()])
    assert labels.tolist() == [0, 0]
    assert (objects == 1).sum() == (objects == 2).sum() == 14 * 12
    joined, _ = decode(levels, classes, [Cut(level=0)])
    assert joined.max() == 1


def test_holes_are_filled_and_crumbs_dropped():
    levels = np.zeros((30, 30), dtype=np.int64)
    levels[2:22, 2:22] = 3
    levels[8:12, 8:12] = 0  # 16 px
    levels[26:28, 26:28] = 3  # 4 px
    objects, labels = decode(levels, np.zeros((30, 30), dtype=np.int64), [Cut()])
    assert len(labels) == 1
    assert (objects[8:12, 8:12] == 1).all()
    assert objects[26, 26] == 0


def test_classes_do_not_mix_and_others_are_background():
    levels = np.full((12, 36), 3)
    classes = np.repeat([[0, 2, 1]], 12, axis=1).reshape(1, 36).repeat(12, 0)
    objects, labels = decode(levels, classes, [Cut(grown=1), Cut(grown=1)])
    assert labels.tolist() == [0, 1]
    assert np.unique(objects[:, :12]).tolist() == [1]
    assert np.unique(objects[:, 12:24]).tolist() == [0]
    assert np.unique(objects[:, 24:]).tolist() == [2]


def test_objects_that_were_covered_are_left_out():
    ids = torch.tensor([[1, 1, 3, 3]])
    boxes = torch.tensor([[0, 0, 2, 1], [0, 0, 0, 0], [2, 0, 4, 1]])
    objects = Objects(ids, torch.tensor([0.5, 0.0, 0.9]), torch.tensor([4, 5, 6]), boxes)
    found = objects.of((1, 4), Selection(0.0, 10))
    assert found.labels.tolist() == [6, 4]
    assert found.fields[:, 0].tolist() == [[0, 1, 1, 1], [1, 1, 1, 0]]
    assert found.extents.tolist() == [[1, -1, 5, 2], [-1, -1, 3, 2]]
    assert objects.of((1, 4), Selection(0.6, 10)).labels.tolist() == [6]


def test_classes_are_enlarged_smoothly():
    logits = torch.full((3, 1, 2), -9.0)
    logits[0, 0, 0] = logits[2, 0, 1] = 9.0
    classes, certain = classes_of(logits, (4, 8))
    assert classes[0].tolist() == [0, 0, 0, 0, 2, 2, 2, 2]
    assert certain[0, 0] == pytest.approx(1.0)
    assert certain[0, 3] < 0.7


# Checkpoints.


def test_imagenet_bodies_are_a_beginning():
    light = FAMILY.convert(mobilenet_v2().state_dict(), FAMILY.variants["mobilenet"])
    assert len(light) == 104
    with pytest.raises(UsageError, match=r"backbone\.body"):
        FAMILY.convert(resnet50().state_dict(), FAMILY.variants["mobilenet"])


# It learns.


@pytest.mark.slow
def test_it_learns_two_images_by_heart(data):
    torch.manual_seed(0)
    pair, names = two_images(data, 128)
    info = ModelInfo(
        "watershed", "toy", names, tuple(range(len(names))), Resize(128, 128), stride=32
    )
    model = assemble(info, ResNet(18, fixed_statistics, width=16), width=32)
    assert learn(model, pair, steps=300, rate=3e-3) == 1.0
