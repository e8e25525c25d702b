"""Comparing with recordings of the authors' own implementations: load, compare, draw.

A parity test takes every size, count and option from the recording, so that it holds for another
recording of the same layout too. Only what a recording does not hold (the threshold of candidates,
say) stands in the tests, with its source.
"""

import json
from dataclasses import replace
from math import prod

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from segcli.images import batch as batches
from segcli.masks import rle
from segcli.masks.sampling import segments
from segcli.types import Image


def recorded_file(path):
    """The path, where the recording is there: the trimmed copies leave large files out."""
    if not path.is_file():
        pytest.skip(f"{path.name} is only in the full recordings: set SEGCLI_REFERENCE")
    return path


def tensors(path):
    """All arrays of numbers in an npz file."""
    with np.load(recorded_file(path)) as file:
        return {k: torch.from_numpy(file[k]) for k in file.files if file[k].dtype.kind in "biuf"}


def in_full_recordings(recording, *names):
    """Skip a test of arrays that the trimmed copies leave out because they are large."""
    if missing := [name for name in names if name not in recording]:
        pytest.skip(f"{missing[0]} is only in the full recordings: set SEGCLI_REFERENCE")


def settings(path):
    """What a recording's JSON file says of its network."""
    return json.loads(recorded_file(path).read_text())


def weights(path):
    """The tensors of a recorded state dict, under the authors' names."""
    return load_file(recorded_file(path))


def unpacked(found, name):
    """Boolean masks packed flat or row by row, with their shape beside them."""
    shape = found[f"{name}_shape"].tolist()
    packed = found[f"{name}_packed" if f"{name}_packed" in found else name].numpy()
    if packed.ndim == 1:
        bits = np.unpackbits(packed)[: prod(shape)].reshape(shape)
    else:
        bits = np.unpackbits(packed, axis=-1)[..., : shape[-1]]
    return torch.from_numpy(bits.astype(bool))


def close(found, expected, tolerance=1e-5):
    """Within `tolerance` of the recorded array's maximum."""
    bound = tolerance * max(float(expected.abs().max()), 1e-6) if expected.numel() else 0
    torch.testing.assert_close(found, expected.to(found.dtype), rtol=0, atol=bound)


def within(found, expected, atol=1e-4):
    """Within `atol`, whatever the size of the numbers."""
    torch.testing.assert_close(found, expected.to(found.dtype), rtol=0, atol=atol)


def gradients_close(model, recorded, tolerance=1e-3):
    """Within `tolerance` of each recorded gradient's maximum; `recorded` has our names."""
    assert recorded
    parameters = dict(model.named_parameters())
    for name, expected in recorded.items():
        close(parameters[name].grad, expected, tolerance)


def matched(found, boxes, labels):
    """Which of our detections (n, 4) each recorded one is: orders differ, and scores may tie."""
    assert len(found.boxes) == len(boxes)
    order, _ = nearest(found, boxes, labels)
    assert len(order.unique()) == len(order)
    return order


def nearest(found, boxes, labels):
    """Of each recorded box (m, 4) our nearest one of its label, and how far apart their sides are
    at most; far where there is none of the label."""
    apart = (found.boxes[None] - boxes[:, None]).abs().amax(2)  # (recorded, ours)
    apart, order = (apart + 1e6 * (found.labels[None] != labels[:, None])).min(1)
    return order, apart


def masks_of(instances, *, content, size):
    """The core's masks bool (n, H, W) in the order of the instances; it drops empty ones."""
    n = len(instances.scores)
    ranks = torch.arange(n, 0, -1) / max(1, n)
    made = torch.zeros((n, *size), dtype=torch.bool)
    ranked = replace(instances, scores=ranks, mask_scores=None)
    for segment in segments(ranked, content_size=content, image_size=size):
        made[n - round(segment.score * n)] = torch.from_numpy(rle.decode(segment.rle, *size))
    return made


def batch_of_bytes(bgr, info, original=None):
    """A recorded image, uint8 (h, w, 3) BGR, as a user's: resized and padded for the model."""
    pixels = bgr.flip(2).contiguous().numpy()
    image = batches.fit(Image("a", pixels, original or pixels.shape[:2]), info)
    return batches.collate([image], info)
