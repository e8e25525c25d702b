"""RoIAlign over rows against torchvision's kernel."""

import pytest
import torch
from torchvision.ops import roi_align

from segcli_blocks.align import roi_align_rows

# image, xyxy px on a canvas of 80 x 112 px: inside, tiny, over every edge, far outside, the canvas
ROIS = torch.tensor(
    [
        [0, 10, 12, 50, 40],
        [1, 30.25, 20.5, 30.5, 20.75],
        [0, -20, -9, 14, 10],
        [1, 90, 60, 140, 99],
        [0, 500, 500, 560, 530],
        [1, 0, 0, 112, 80],
    ]
)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [1, 2, 3])
def test_values_equal_torchvisions(aligned, sampling_ratio) -> None:
    maps = torch.randn(2, 5, 10, 14, generator=torch.Generator().manual_seed(0))
    expected = roi_align(maps, ROIS, 7, 0.125, sampling_ratio=sampling_ratio, aligned=aligned)
    found = roi_align_rows(
        maps.contiguous(memory_format=torch.channels_last),
        ROIS, 7, 0.125, sampling_ratio=sampling_ratio, aligned=aligned,
    )  # fmt: skip
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert not found[4].any()
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_bfloat16_rounds_values_only() -> None:
    maps = torch.randn(2, 5, 10, 14, generator=torch.Generator().manual_seed(0))
    maps = maps.contiguous(memory_format=torch.channels_last)
    settings = {"sampling_ratio": 2, "aligned": True}
    exact = roi_align_rows(maps, ROIS, 7, 0.125, **settings)
    found = roi_align_rows(maps.bfloat16(), ROIS, 7, 0.125, **settings)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, atol=0.03, rtol=0.02)


def test_no_regions() -> None:
    found = roi_align_rows(
        torch.ones(1, 5, 10, 14), ROIS[:0], 7, 0.125, sampling_ratio=2, aligned=False
    )
    assert found.shape == (0, 5, 7, 7)
