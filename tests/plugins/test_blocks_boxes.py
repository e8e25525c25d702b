"""Boxes, by hand."""

import torch
from torchvision.ops import box_iou

from segcli_blocks.boxes import iou, tight_boxes


def test_tight_boxes():
    masks = torch.zeros(2, 5, 6, dtype=torch.bool)
    masks[0, 1:3, 2:6] = True
    assert tight_boxes(masks).tolist() == [[2, 1, 6, 3], [0, 0, 0, 0]]
    assert tight_boxes(masks[:0]).shape == (0, 4)


def test_overlaps_equal_torchvisions_list_by_list():
    torch.manual_seed(0)
    corners = torch.rand(3, 4, 2, 2).sort(dim=2).values.flatten(2)
    found = iou(corners, corners[:, :2])
    assert found.shape == (3, 4, 2)
    for each, boxes in zip(found, corners, strict=True):
        assert each.equal(box_iou(boxes, boxes[:2]))
