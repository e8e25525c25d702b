"""Reading recordings and comparing with them."""

from math import prod

import numpy as np
import torch


def tensors(path):
    """All arrays of numbers in an npz file."""
    with np.load(path) as file:
        return {k: torch.from_numpy(file[k]) for k in file.files if file[k].dtype.kind in "biuf"}


def unpacked(found, name):
    """Boolean masks packed flat, with their shape beside them."""
    shape = found[f"{name}_shape"].tolist()
    bits = np.unpackbits(found[f"{name}_packed"].numpy())[: prod(shape)]
    return torch.from_numpy(bits.reshape(shape).astype(bool))


def close(found, expected, tolerance=1e-5):
    """Within `tolerance` of the recorded array's maximum."""
    bound = tolerance * max(float(expected.abs().max()), 1e-6) if expected.numel() else 0
    torch.testing.assert_close(found, expected.to(found.dtype), rtol=0, atol=bound)
