"""Reading recordings and comparing with them."""

from math import prod

import numpy as np
import pytest
import torch


def recorded_file(path):
    """The path, where the recording is there: the trimmed copies leave large files out."""
    if not path.is_file():
        pytest.skip(f"{path.name} is only in the full recordings: set SEGCLI_REFERENCE")
    return path


def tensors(path):
    """All arrays of numbers in an npz file."""
    with np.load(recorded_file(path)) as file:
        return {k: torch.from_numpy(file[k]) for k in file.files if file[k].dtype.kind in "biuf"}


def unpacked(found, name):
    """Boolean masks packed flat or row by row, with their shape beside them."""
    shape = found[f"{name}_shape"].tolist()
    packed = found[f"{name}_packed"].numpy()
    if packed.ndim == 1:
        bits = np.unpackbits(packed)[: prod(shape)].reshape(shape)
    else:
        bits = np.unpackbits(packed, axis=-1)[..., : shape[-1]]
    return torch.from_numpy(bits.astype(bool))


def close(found, expected, tolerance=1e-5):
    """Within `tolerance` of the recorded array's maximum."""
    bound = tolerance * max(float(expected.abs().max()), 1e-6) if expected.numel() else 0
    torch.testing.assert_close(found, expected.to(found.dtype), rtol=0, atol=bound)


def matched(found, boxes, labels):
    """Which of our detections (n, 4) each recorded one is: orders differ, and scores may tie."""
    assert len(found.boxes) == len(boxes)
    apart = (found.boxes[None] - boxes[:, None]).abs().amax(2)  # (recorded, ours)
    order = (apart + 1e6 * (found.labels[None] != labels[:, None])).argmin(1)
    assert len(order.unique()) == len(order)
    return order
