"""What Mask Scoring R-CNN learns, on a toy."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from overfitting import learn, two_images
from toy_pyramid import ToyPyramid

from segcli.types import ModelInfo, Resize
from segcli_blocks.rcnn.conventions import LIGHT
from segcli_maskscoring.variants import assemble


@pytest.mark.slow
def test_two_real_images_are_learned_by_heart(data: Path) -> None:
    pair, names = two_images(data, 128)
    torch.manual_seed(0)
    info = ModelInfo("maskscoring", "toy", names, tuple(range(len(names))), Resize(128, 128), 64)
    conventions = replace(LIGHT, region_samples=64)
    model = assemble(info, ToyPyramid(), width=32, hidden=64, conventions=conventions)
    assert learn(model, pair, steps=300, rate=2e-3) == 1
    found = model.predict(pair[0], min_score=0.5, max_masks=10)
    ratios = torch.cat([one.mask_scores / one.scores for one in found])
    assert ratios.min() > 0.4  # the estimates of masks that fit
