"""What Cascade Mask R-CNN and HTC learn, on toys."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from overfitting import learn, two_images
from toy_pyramid import ToyPyramid

from segcli.types import ModelInfo, Resize
from segcli_blocks.rcnn.conventions import LIGHT
from segcli_cascade.variants import assemble, assemble_htc


def info_of(names: tuple[str, ...]) -> ModelInfo:
    ids = tuple(range(1, len(names) + 1))
    return ModelInfo("cascade", "toy", names, ids, Resize(128, 128), 64)


@pytest.mark.slow
@pytest.mark.parametrize("made", [assemble, assemble_htc])
def test_two_real_images_are_learned_by_heart(made, data: Path) -> None:
    pair, names = two_images(data, 128)
    torch.manual_seed(0)
    is_htc = made is assemble_htc
    conventions = replace(
        LIGHT, region_samples=64, binary_masks=True, inclusive=is_htc, mmdet1=is_htc
    )
    model = made(info_of(names), ToyPyramid(), width=32, hidden=64, conventions=conventions)
    assert learn(model, pair, steps=300, rate=2e-3) == 1
