"""Drawing and measuring soft masks, by hand."""

import torch

from segcli_blocks.soft_masks import dynamic_conv, mean_inside


def test_a_kernel_is_a_convolution() -> None:
    features = torch.arange(8.0).view(2, 2, 2)
    drawn = dynamic_conv(torch.tensor([[1.0, 0], [2, -1]]), features)
    assert drawn.tolist() == [[[0, 1], [2, 3]], [[-4, -3], [-2, -1]]]
    assert dynamic_conv(torch.zeros(0, 2), features).shape == (0, 2, 2)


def test_autocast_leaves_the_features_as_they_are() -> None:
    features = torch.full((1, 1, 1), 1 + 2**-12)
    with torch.autocast("cpu", torch.bfloat16):
        drawn = dynamic_conv(torch.ones(1, 1, dtype=torch.bfloat16), features)
    assert drawn.item() == features.item()


def test_the_mean_of_what_is_inside() -> None:
    values = torch.tensor([[1.0, 2], [3, 5]])
    inside = torch.tensor([[[True, False], [False, True]], [[False] * 2] * 2])
    mean, area = mean_inside(values, inside)
    assert mean.tolist() == [3, 0]
    assert area.tolist() == [2, 0]
