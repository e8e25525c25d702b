"""What PANet learns, on a toy."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from overfitting import learn, two_images
from toy_pyramid import ToyPyramid

from segcli.types import ModelInfo, Resize
from segcli_blocks.rcnn.conventions import LIGHT
from segcli_panet.variants import assemble


@pytest.mark.slow
def test_two_real_images_are_learned_by_heart(data: Path) -> None:
    pair, names = two_images(data, 128)
    torch.manual_seed(0)
    info = ModelInfo("panet", "toy", names, tuple(range(len(names))), Resize(128, 128), 64)
    conventions = replace(LIGHT, region_samples=64)
    model = assemble(info, ToyPyramid(), width=32, hidden=64, groups=4, conventions=conventions)
    assert learn(model, pair, steps=300, rate=2e-3) == 1
