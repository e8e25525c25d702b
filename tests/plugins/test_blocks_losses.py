"""Losses against values worked out by hand, and where possible against slow plain versions."""

import math

import pytest
import torch

from segcli_blocks.losses import box_overlap, dice, focal, lovasz_hinge


def test_focal_weighs_hard_examples():
    logits = torch.tensor([0.0, 0.0, 20.0])
    loss = focal(logits, torch.tensor([1, 0, 1]))
    easy = 0.5**2 * math.log(2)
    assert loss.tolist() == pytest.approx([0.25 * easy, 0.75 * easy, 0.0], abs=1e-7)


def test_box_overlap_of_equal_boxes_is_nothing():
    box = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    for kind in ("giou", "iou", "linear_iou"):
        assert float(box_overlap(box, box, kind)) == pytest.approx(0, abs=1e-6)


def test_box_overlap_by_hand():
    # 2 x 2 against 4 x 4 around the same point: I = 4, U = 16 = A.
    small, large = torch.ones(1, 4), torch.full((1, 4), 2.0)
    assert float(box_overlap(small, large, "linear_iou")) == pytest.approx(1 - 5 / 17)
    assert float(box_overlap(small, large, "iou")) == pytest.approx(-math.log(5 / 17))
    assert float(box_overlap(small, large)) == pytest.approx(1 - 5 / 17)
    # 4 x 2 against 2 x 4: I = 4, U = 12, A = 16.
    wide, high = torch.tensor([[2.0, 1, 2, 1]]), torch.tensor([[1.0, 2, 1, 2]])
    assert float(box_overlap(wide, high)) == pytest.approx(1 - 5 / 13 + 4 / 16)


def test_dice_by_hand():
    p = torch.tensor([[[0.5, 0.5]], [[1.0, 0.0]]])
    t = torch.tensor([[[True, False]], [[True, False]]])
    assert dice(p, t, 0.0).tolist() == pytest.approx([1 - 2 * 0.5 / (0.5 + 1), 0.0])
    assert float(dice(torch.zeros(1, 4), torch.zeros(1, 4), 1e-5)) == 1.0


def _lovasz_by_definition(errors: list[float], truth: list[int]) -> float:
    """Berman et al., eq. 9: the sum of errors weighted by how much each raises the Jaccard loss."""
    order = sorted(range(len(errors)), key=lambda i: -errors[i])
    objects, total, before = sum(truth), 0.0, 0.0
    wrong: set[int] = set()
    for index in order:
        wrong.add(index)
        missed = sum(truth[i] for i in wrong)
        extra = len(wrong) - missed
        after = 1 - (objects - missed) / (objects + extra)
        total += max(errors[index], 0.0) * (after - before)
        before = after
    return total


def test_lovasz_hinge_follows_the_definition():
    torch.manual_seed(1)
    logits, truth = torch.randn(3, 12), torch.rand(3, 12) > 0.6
    truth[2] = False
    expected = [
        _lovasz_by_definition((1 - z * (2.0 * t - 1)).tolist(), t.int().tolist())
        for z, t in zip(logits, truth.float(), strict=True)
    ]
    assert lovasz_hinge(logits, truth).tolist() == pytest.approx(expected, abs=1e-5)


def test_lovasz_hinge_ignores_sure_background():
    logits = torch.tensor([[2.0, -1.0, -torch.inf], [2.0, -1.0, -5.0]])
    truth = torch.tensor([[True, True, False], [True, True, False]])
    both = lovasz_hinge(logits, truth)
    assert both[0] == both[1] == lovasz_hinge(logits[:1, :2], truth[:1, :2])[0]
