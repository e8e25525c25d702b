"""Which location learns what, and the dense losses, on small hand-written cases."""

import math

import pytest
import torch

from segcli_blocks import fcos, fcos_losses
from segcli_blocks.towers import conv_at

STRIDES, SIZES = (8, 16), (24,)


def points(h: int = 32, w: int = 48) -> fcos.Points:
    maps = [torch.zeros(1, 1, h // s, w // s) for s in STRIDES]
    return fcos.points_of(maps, STRIDES, SIZES)


def test_points():
    found = points()
    assert found.xy[:7].tolist() == [[4, 4], [12, 4], [20, 4], [28, 4], [36, 4], [44, 4], [4, 12]]
    assert found.xy[24:].tolist() == [[8, 8], [24, 8], [40, 8], [8, 24], [24, 24], [40, 24]]
    assert found.first.tolist() == [0, 24]
    assert found.level.tolist() == [0] * 24 + [1] * 6
    assert found.reach[0].tolist() == [-1, 24]
    assert found.reach[-1].tolist() == [24, 1e8]


def matched(boxes, **options):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    found = fcos_losses.match(points(), boxes, areas, centres=centres, **options)
    where = (found >= 0).nonzero()[:, 0]
    return {tuple(points().xy[i].int().tolist()): int(found[i]) for i in where.tolist()}


def test_match_is_strictly_inside_and_near_the_centre():
    # Centre (12, 12), radius 12: 4, 12, 20 are less than 12 away; the box itself ends at 20.
    assert matched([[4.0, 4, 20, 20]]) == {(12, 12): 0}
    assert matched([[3.0, 4, 21, 20]]) == {(4, 12): 0, (12, 12): 0, (20, 12): 0}
    # Without centre sampling the whole box counts: 9 fine locations, and 3 coarse ones of 4.
    assert len(matched([[0.0, 0, 25, 25]], radius=None)) == 9 + 3


def test_match_prefers_the_smaller_target_and_the_right_level():
    both = [[0.0, 0, 24, 24], [9.0, 9, 15, 15]]
    assert matched(both)[(12, 12)] == 1
    assert matched(both)[(4, 12)] == 0
    # In a 48 px wide box a side is 24 px or more away everywhere: only the coarse level learns it.
    wide = matched([[0.0, 0, 48, 32]])
    assert set(wide) == {(x, y) for x in (8, 24, 40) for y in (8, 24)}


def test_match_within_masks():
    mask = torch.zeros(1, 32, 48, dtype=torch.bool)
    mask[0, 12, 4] = True
    assert matched([[3.0, 4, 21, 20]], masks=mask) == {(4, 12): 0}


def test_match_without_targets():
    assert matched([]) == {}
    assert fcos_losses.distances_to(points(), torch.zeros(0, 4), torch.full((30,), -1)).shape == (
        30,
        4,
    )


def test_distances_in_strides():
    match = torch.zeros(30, dtype=torch.long)
    found = fcos_losses.distances_to(points(), torch.tensor([[0.0, 0, 32, 16]]), match)
    assert found[0].tolist() == [0.5, 0.5, 3.5, 1.5]
    assert found[24].tolist() == [0.5, 0.5, 1.5, 0.5]


def test_centerness():
    found = fcos_losses.centerness_of(torch.tensor([[1.0, 1, 1, 1], [1, 1, 4, 1]]))
    assert found.tolist() == [1, 0.5]


def test_decode_inverts_distances():
    box = torch.tensor([[1.0, 2, 30, 31]])
    ltrb = fcos_losses.distances_to(points(), box, torch.zeros(30, dtype=torch.long))
    index = torch.tensor([7, 29])
    torch.testing.assert_close(fcos.decode(points(), ltrb[index], index), box.expand(2, 4))


def dense(logit: float) -> fcos.Dense:
    shapes = [(32 // s, 48 // s) for s in STRIDES]
    return fcos.Dense(
        [torch.full((1, 2, *s), logit, requires_grad=True) for s in shapes],
        [torch.ones((1, 4, *s), requires_grad=True) for s in shapes],
        [torch.zeros((1, 1, *s), requires_grad=True) for s in shapes],
        [torch.zeros((1, 8, *s)) for s in shapes],
    )


def test_losses_by_hand():
    labels = torch.full((1, 30), -1)
    labels[0, :2] = 1
    goal = torch.ones(1, 30, 4)
    goal[0, 1] = torch.tensor([0.5, 1, 2, 1])
    counts = torch.ones(1, 30, 2, dtype=torch.bool)
    losses = fcos_losses.dense_losses(dense(0.0), labels, goal, counts)
    unit = 0.25 * math.log(2)
    assert float(losses["class"].detach()) == pytest.approx(unit * (2 * 0.25 + 58 * 0.75) / 2)
    # I = 3, U = 4 + 5 - 3 = 6, A = 3 * 2 = 6; weighted by centerness 1 and 0.5.
    assert float(losses["box"].detach()) == pytest.approx((1 - 4 / 7) * 0.5 / 1.5)
    assert float(losses["centerness"].detach()) == pytest.approx(math.log(2))


def test_losses_without_targets_are_finite_and_connected():
    head = dense(-3.0)
    labels = torch.full((1, 30), -1)
    counts = torch.zeros(1, 30, 2, dtype=torch.bool)
    losses = fcos_losses.dense_losses(head, labels, torch.zeros(1, 30, 4), counts)
    torch.stack(list(losses.values())).sum().backward()
    assert [float(v.detach()) for v in losses.values()] == [0, 0, 0]
    assert all(m.grad is not None for m in [*head.logits, *head.distances, *head.centerness])


def test_best_per_level():
    scores = torch.zeros(30, 2)
    scores[3, 1], scores[5, 0], scores[6, 1], scores[26, 0] = 0.9, 0.8, 0.7, 0.1
    kept = fcos.best_per_level(scores, scores > 0.05, points(), 2)
    assert kept.nonzero().tolist() == [[3, 1], [5, 0], [26, 0]]


def test_patches_of_several_levels_and_images():
    torch.manual_seed(0)
    head = fcos.FCOSHead(8, 2, width=8, depth=1, levels=2).eval()
    found = head([torch.randn(2, 8, 4, 6), torch.randn(2, 8, 2, 3)])
    conv = torch.nn.Conv2d(8, 5, 3, padding=1)
    image, index = torch.tensor([1, 0, 1]), torch.tensor([25, 0, 23])
    everywhere = fcos.flat([conv(f) for f in found.features])
    sparse = conv_at(conv, fcos.patches_at(found, points(), image, index))
    torch.testing.assert_close(sparse, everywhere[image, index])


def test_head_begins_with_rare_objects():
    head = fcos.FCOSHead(8, 3, width=8, depth=2, levels=1)
    logits = head([torch.zeros(1, 8, 4, 4)]).logits[0]
    assert torch.allclose(logits.sigmoid(), torch.tensor(0.01))
