"""SOLO's parts on numbers small enough to check by hand, its checkpoints, and that it learns."""

from functools import partial

import pytest
import rectangles
import torch
from overfitting import learn, two_images
from published import listed
from torch.nn import functional as F

from segcli.errors import UsageError
from segcli.types import ModelInfo, Resize
from segcli_blocks.resnet import ResNet, fixed_statistics
from segcli_solo import FAMILY
from segcli_solo.heads import DecoupledHead, DirectHead, DynamicHead, Features
from segcli_solo.masks import windows
from segcli_solo.model import SOLO, Options, peaks
from segcli_solo.targets import Learning, shrunk, targets_of
from segcli_solo.variants import pyramid

PUBLISHED = {
    "solov2-light-r18": "solov2_light_448_r18_fpn_8gpu_3x",
    "solov2-light-r50": "solov2_light_448_r50_fpn_8gpu_3x",
    "solov2-r50": "solov2_r50_fpn_8gpu_1x",
    "solov2-r101": "solov2_r101_fpn_8gpu_3x",
    "solo-r50": "solo_r50_fpn_8gpu_1x",
    "decoupled-r50": "decoupled_solo_r50_fpn_8gpu_1x",
    "decoupled-light-r50": "decoupled_solo_light_r50_fpn_8gpu_3x",
}
EVERY = Learning(((1, 1000),))  # one level, which learns objects of any size


# Checkpoints.


@pytest.mark.parametrize("variant", FAMILY.variants)
def test_published_checkpoints_load(variant):
    info = FAMILY.variants[variant]
    converted = FAMILY.convert(listed(PUBLISHED[variant]), info)
    with torch.device("meta"):
        model = FAMILY.build(info)
    model.load_state_dict(converted, assign=True)


def test_another_variants_checkpoint_is_refused_with_the_first_difference():
    with pytest.raises(UsageError, match=r"solo/solov2-r50.*backbone\.body\.layer3\.10"):
        FAMILY.convert(listed(PUBLISHED["solov2-r101"]), FAMILY.variants["solov2-r50"])


def test_another_familys_checkpoint_is_refused():
    with pytest.raises(
        UsageError, match=r"not the weights of solo/solov2-r50: \d+ tensors missing"
    ):
        FAMILY.convert(listed("yolact_resnet50"), FAMILY.variants["solov2-r50"])


# Inference.


def test_a_peak_has_nothing_better_above_or_left_of_it():
    said = torch.tensor([[0.9, 0.2, 0.1], [0.1, 0.3, 0.4], [0.5, 0.2, 0.3]])
    left = torch.tensor([[0.9, 0.0, 0.0], [0.0, 0.0, 0.4], [0.5, 0.0, 0.0]])
    assert peaks(said[None, None])[0, 0].equal(left)


def test_windows_hold_every_pixel_above_one_half():
    torch.manual_seed(0)
    soft = torch.zeros(3, 12, 16)
    soft[0, 2:5, 3:9] = torch.rand(3, 6) / 2 + 0.5
    soft[1, 8:, 12:] = 1.0  # in the corner, partly beyond the content
    content = (44, 60)
    fields, extents = windows(soft, content)
    whole = F.interpolate(soft[None], scale_factor=4, mode="bilinear")[0]
    for field, (left, top, *_), mask in zip(fields, extents.int().tolist(), whole, strict=True):
        for y, x in (mask[: content[0], : content[1]] > 0.5).nonzero().tolist():
            assert field[y - top, x - left] == mask[y, x]
        inside = (field > 0.5).nonzero() + torch.tensor([top, left])
        visible = (inside >= 0).all(1) & (inside < torch.tensor(content)).all(1)
        assert int(visible.sum()) == int((mask[: content[0], : content[1]] > 0.5).sum())


def test_beyond_the_content_its_edge_is_repeated():
    soft = torch.zeros(1, 8, 8)
    soft[0, 2:6, 2:] = 1.0
    soft[0, 3, 5] = 0.6
    fields, ((left, _, _, _),) = windows(soft, (32, 22))
    edge = 21 - int(left)
    assert fields[0, :, edge:].equal(fields[0, :, edge : edge + 1].expand_as(fields[0, :, edge:]))


def test_no_masks_make_no_windows():
    fields, extents = windows(torch.zeros(0, 8, 8), (32, 32))
    assert fields.shape[0] == extents.shape[0] == 0


# What it learns from.

targets = partial(rectangles.targets, side=80)


def test_the_cells_in_the_middle_of_an_object_learn_it():
    target = targets((0, 0, 80, 40), labels=[2])  # its middle fifth: x 32 to 48, y 16 to 24
    (level,) = targets_of(target, [10], 3, EVERY)
    # Cells are 8 px: columns 3 to 5 (the middle one is 4), rows 1 to 2 (2), at half a px less.
    rows, columns = (level.categories == 2).nonzero().unbind(1)
    assert set(rows.tolist()) == {1, 2}
    assert set(columns.tolist()) == {3, 4, 5}
    assert level.cell.tolist() == [13, 14, 15, 23, 24, 25]


def test_only_levels_for_its_size_learn_an_object():
    options = Learning(((1, 20), (10, 40), (30, 90)))
    target = targets((0, 0, 31, 31), labels=[0])
    levels = targets_of(target, [4, 4, 4], 1, options)
    assert [len(level.cell) > 0 for level in levels] == [False, True, True]


def test_a_cell_that_two_objects_claim():
    target = targets((0, 0, 80, 80), (8, 8, 72, 72), labels=[0, 1])
    (both,) = targets_of(target, [2], 2, EVERY)
    only = Learning(EVERY.ranges, last_only=True)
    (last,) = targets_of(target, [2], 2, only)
    assert both.cell.tolist() == [0, 1, 2, 3] * 2
    assert last.cell.tolist() == [0, 1, 2, 3]
    assert set(last.target.tolist()) == {1}


def test_crowds_and_unannotated_categories_do_not_count():
    target = targets(
        (0, 0, 20, 20), (40, 40, 80, 80), labels=[0, 0], crowd=[False, True],
        exhaustive=torch.tensor([True, False]),
    )  # fmt: skip
    (level,) = targets_of(target, [4], 2, EVERY)
    assert not level.counts[2:, 2:].any()  # the crowd
    assert level.counts[0, 0].all()  # the object: its cell is known to be no other category
    assert level.counts[0, 2].tolist() == [True, False]


def test_a_cell_of_a_smaller_mask_needs_half_of_its_inner_pixels():
    masks = torch.zeros(1, 4, 8, dtype=torch.bool)
    masks[0, 1, 1:3] = True
    masks[0, 1, 5] = True
    assert shrunk(masks, 4).tolist() == [[[True, False]]]


# It learns.


def toy(names, head, side=128):
    """Everything of the real one, narrow, with one of the four heads."""
    torch.manual_seed(0)
    grids, classes, sizes = (12, 10, 8, 6, 4), len(names), {"width": 32, "depth": 1}
    heads = {
        "dynamic": lambda: DynamicHead(
            32, classes, grids=grids, features=Features(32, 16, 16), **sizes
        ),
        "direct": lambda: DirectHead(32, classes, grids=grids, **sizes),
        "decoupled": lambda: DecoupledHead(32, classes, grids=grids, **sizes),
        "light": lambda: DecoupledHead(32, classes, grids=grids, light=True, **sizes),
    }
    ranges = ((1, 24), (12, 48), (24, 96), (48, 192), (96, 512))
    info = ModelInfo(
        "solo", "solov2-r50", tuple(names), tuple(range(classes)), Resize(side, side), 32
    )
    body = ResNet(18, fixed_statistics, width=16)
    learning = Learning(ranges, last_only=head != "dynamic")
    return SOLO(info, backbone=pyramid(body, 32), head=heads[head](), options=Options(learning))


@pytest.mark.slow
@pytest.mark.parametrize("head", ["dynamic", "direct", "decoupled", "light"])
def test_it_learns_two_images_by_heart(data, head):
    pair, names = two_images(data, 128)
    assert learn(toy(names, head), pair, steps=400, rate=2e-3) == 1.0


@pytest.mark.parametrize("head", ["direct", "decoupled", "light"])
def test_gradients_reach_every_parameter_of_the_first_heads(head):
    """Also those of levels without any object."""
    from segcli.types import Batch

    model = toy(("a",), head, 64).train()
    batch = Batch(("a",), torch.zeros(1, 3, 64, 64, dtype=torch.uint8), ((64, 64),), ((64, 64),))
    losses = model.losses(batch, [targets((8, 8, 40, 40), labels=[0], side=64)])
    sum(losses.values()).backward()
    learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, p in learned.items() if p.grad is None] == []
