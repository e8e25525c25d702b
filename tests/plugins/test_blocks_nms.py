"""Suppression by a matrix, on a few boxes and masks."""

import math

import torch

from segcli_blocks.nms import fast_nms, matrix_nms

BOXES = torch.tensor([[0.0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10], [50, 50, 60, 60]])


def test_fast_nms_lets_suppressed_boxes_suppress():
    # Neighbours overlap by 80 / 120; the third one only meets the second, which goes itself.
    assert fast_nms(BOXES[None], 0.5).tolist() == [[True, False, False, True]]


def test_fast_nms_keeps_lists_apart():
    lists = torch.stack((BOXES[:2], BOXES[2:]))
    assert fast_nms(lists, 0.5).tolist() == [[True, False], [True, True]]


def test_fast_nms_of_nothing():
    assert fast_nms(torch.zeros(3, 0, 4), 0.5).shape == (3, 0)


def masks(*spans: tuple[int, int]) -> torch.Tensor:
    found = torch.zeros(len(spans), 1, 12, dtype=torch.bool)
    for mask, (first, last) in zip(found, spans, strict=True):
        mask[0, first:last] = True
    return found


SCORES = torch.tensor([0.9, 0.8, 0.7])


def test_matrix_nms_decays_by_overlap():
    overlapping = masks((0, 4), (2, 4), (8, 12))  # the second has an IoU of 1/2 with the first
    found = matrix_nms(overlapping, torch.zeros(3, dtype=torch.long), SCORES, sigma=2.0)
    torch.testing.assert_close(found, SCORES * torch.tensor([1, math.exp(-0.5), 1]))
    linear = matrix_nms(overlapping, torch.zeros(3, dtype=torch.long), SCORES, sigma=None)
    torch.testing.assert_close(linear, SCORES * torch.tensor([1, 0.5, 1]))


def test_matrix_nms_spares_what_a_suppressed_mask_covers():
    # The third meets only the second (IoU 1/2), which itself meets the first as much.
    chain = masks((0, 2), (0, 4), (2, 4))
    found = matrix_nms(chain, torch.zeros(3, dtype=torch.long), SCORES, sigma=None)
    torch.testing.assert_close(found, SCORES * torch.tensor([1, 0.5, 1]))


def test_matrix_nms_keeps_labels_apart():
    same = masks((0, 4), (0, 4), (0, 4))
    found = matrix_nms(same, torch.tensor([0, 1, 2]), SCORES, sigma=2.0)
    assert found.equal(SCORES)


def test_matrix_nms_of_nothing():
    none = torch.zeros(0)
    assert len(matrix_nms(masks(), none.long(), none, sigma=2.0)) == 0
