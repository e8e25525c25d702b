"""The EfficientNet-Lite body against recordings of the port that its weights come from."""

from pathlib import Path

import pytest
import torch

from segcli_blocks.efficientnet_lite import PIXELS, EfficientNetLite, from_imagenet, is_imagenet


@pytest.mark.parametrize("size", [1, 2])
def test_maps_equal_the_recording(size: int, reference: Path) -> None:
    folder = reference.parent / "weights"
    weights = folder / f"efficientnet_lite{size}_imagenet_fp16.pth"
    if not weights.is_file():
        pytest.skip("the ImageNet weights are not here")
    state = torch.load(weights, weights_only=True)
    recording = torch.load(folder / f"efficientnet_lite{size}_recording.pth", weights_only=True)
    assert is_imagenet(state)
    body = EfficientNetLite(size)
    body.load_state_dict(from_imagenet(state, ""))  # every tensor, no other
    mean, std = PIXELS
    x = (recording["pixels"].float() - mean[0]) / std[0]
    with torch.inference_mode():
        maps = body.eval()(x)
    assert [m.shape[1] for m in maps] == list(body.channels)
    for ours, theirs in zip(maps, recording["maps"], strict=True):
        torch.testing.assert_close(ours, theirs.float(), atol=0.02, rtol=0.01)
