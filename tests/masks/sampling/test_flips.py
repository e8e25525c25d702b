"""Masks against a plain dense resampling of the whole frame in the same arithmetic."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from segcli.masks import rle
from segcli.masks.sampling import flips as module
from segcli.masks.sampling import segments
from segcli.types import Instances

FAR = float(np.finfo(np.float32).max)


def dense(field, extent, size, *, threshold=0.5, strict=False, outside=0.0):
    """What the value at each pixel's centre exceeds the threshold by, float64 (H, W)."""
    exact = float(np.float32(threshold))
    excess = np.nan_to_num(field, nan=-FAR, posinf=FAR, neginf=-FAR).astype(np.float64) - exact
    if outside == "clamp":
        knots = np.pad(excess, 1, mode="edge")
    else:
        knots = np.pad(excess, 1, constant_values=outside - exact)
    i, down = _place(extent[1], extent[3], field.shape[0], size[0])
    j, right = _place(extent[0], extent[2], field.shape[1], size[1])
    rows = knots[:, j] * (1 - right) + knots[:, j + 1] * right
    down = down[:, None]
    return rows[i] * (1 - down) + rows[i + 1] * down


def _place(low, high, cells, pixels):
    place = (np.arange(pixels) + 0.5 - low) * (cells / (high - low)) - 0.5
    place = np.clip(place, -1, cells)
    knot = np.minimum(np.floor(place), cells - 1).astype(int)
    return knot + 1, place - knot


def dense_mask(field, extent, size, **rule):
    positive = np.isfinite(extent).all() and extent[2] > extent[0] and extent[3] > extent[1]
    if not positive:
        return np.zeros(size, bool)
    excess = dense(field, extent, size, **rule)
    return excess > 0 if rule.get("strict") else excess >= 0


def found(fields, extents, size, **rule):
    """{index: rle} of the masks that are not empty."""
    fields = torch.as_tensor(np.asarray(fields, np.float32))
    extents = torch.as_tensor(np.asarray(extents, np.float32)).reshape(-1, 4)
    n = len(fields)
    instances = Instances(
        torch.ones(n), torch.arange(n), extents.nan_to_num(), fields, extents, **rule
    )
    result = segments(instances, content_size=size, image_size=size)
    assert all(segment.area == rle.area(segment.rle, *size) for segment in result)
    return {segment.label: segment.rle for segment in result}


def expected(fields, extents, size, **rule):
    """The same by pasting every mask into the frame and pycocotools."""
    answer = {}
    for index, (field, extent) in enumerate(zip(fields, extents, strict=True)):
        extent = np.asarray(np.asarray(extent, np.float32), np.float64)
        mask = dense_mask(np.asarray(field, np.float32), extent, size, **rule)
        if mask.any():
            answer[index] = coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    return answer


def same(fields, extents, size, **rule):
    want = expected(fields, extents, size, **rule)
    assert found(fields, extents, size, **rule) == want
    return want


plain = st.sampled_from([0.0, 1.0, 0.5, 0.25, 0.75, float(np.nextafter(np.float32(0.5), 0)), -1.0])
values = st.one_of(plain, st.floats(0, 1, width=32), st.floats(width=32))
places = st.one_of(
    st.integers(-12, 40).map(lambda k: k / 2),
    st.floats(-20, 50, width=32),
    st.sampled_from([-1e30, -1e7, 1e7, 3e38, float("inf"), float("nan"), 1e-40]),
)
boxes = st.one_of(
    st.tuples(places, places, places, places),
    st.tuples(places, places, st.floats(0.125, 60, width=32), st.floats(0.125, 60, width=32)).map(
        lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
    ),
)
sides = st.one_of(st.just(1), st.integers(1, 24))


@st.composite
def cases(draw):
    h, w = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    n = draw(st.integers(0, 4))
    cell = st.lists(values, min_size=h * w, max_size=h * w)
    fields = np.array([draw(cell) for _ in range(n)], np.float32).reshape(n, h, w)
    extents = [draw(boxes) for _ in range(n)]
    return fields, extents, (draw(sides), draw(sides))


rules = st.fixed_dictionaries(
    {
        "threshold": st.sampled_from([0.5, 0.0, 0.3, 0.7, -1.0]),
        "strict": st.booleans(),
        "outside": st.sampled_from([0.0, "clamp", 1.0, 0.5, -2.0]),
    }
)


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(cases(), rules)
def test_any_masks_in_any_frame(case, rule):
    same(*case, **rule)


@settings(max_examples=60, deadline=None)
@given(cases(), rules, st.integers(1, 40), st.integers(1, 9))
def test_the_same_in_small_pieces(case, rule, cells, crossings):
    whole = found(*case, **rule)
    with pytest.MonkeyPatch.context() as patch:
        pieces = module.Limits(cells, crossings)
        patch.setattr("segcli.masks.sampling.segment.limits_of", lambda device: pieces)
        assert found(*case, **rule) == whole


@settings(max_examples=60, deadline=None)
@given(cases(), rules)
def test_the_same_without_the_others(case, rule):
    fields, extents, size = case
    together = found(*case, **rule)
    for index in range(len(fields)):
        alone = found(fields[index : index + 1], extents[index : index + 1], size, **rule)
        assert alone.get(0) == together.get(index)


@settings(max_examples=60, deadline=None)
@given(cases(), rules)
def test_the_same_by_torch_alone(case, rule):
    """As on a GPU, where nothing but the flips may come to the host."""
    by_numpy = found(*case, **rule)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segcli.masks.sampling.cells.on_host", lambda values: False)
        assert found(*case, **rule) == by_numpy


ONE = np.ones((1, 28, 28), np.float32)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (37, 53), (480, 640)])
def test_full_and_empty(size):
    height, width = size
    frame = [(0, 0, width, height)]
    full = same(ONE, frame, size, outside="clamp")
    assert full == {0: coco.encode(np.ones(size, np.uint8, "F"))["counts"]}
    assert same(ONE, frame, size)  # towards 0 outside, large masks have cut corners
    assert same(0 * ONE, frame, size) == {}
    assert same(np.nan * ONE, frame, size) == {}


def test_one_pixel():
    answer = same(ONE, [(17, 5, 18, 6)], (20, 30))
    assert answer == {0: found(np.ones((1, 1, 1)), [(17, 5, 18, 6)], (20, 30))[0]}
    mask = rle.decode(answer[0], 20, 30)
    assert np.argwhere(mask).tolist() == [[5, 17]]


@pytest.mark.parametrize(
    "box",
    [
        (0, 3, 5, 9),  # touches the left border
        (3, 0, 9, 5),  # the upper one
        (25, 3, 30, 9),  # the right one
        (3, 15, 9, 20),  # the lower one
        (-4.5, -3.2, 6.1, 5.5),
        (21.7, 14.4, 44, 33),
        (-1e6, -1e6, 1e6, 1e6),
    ],
)
def test_boxes_at_the_borders(box):
    assert same(ONE, [box], (20, 30))


@pytest.mark.parametrize(
    "box",
    [
        (31, 3, 40, 9),
        (-9, 3, -1, 9),
        (5, 5, 5, 9),  # no width
        (9, 5, 5, 9),  # negative width
        (5, 5, 9, 5),
        (5, float("nan"), 9, 9),
        (5, 5, float("inf"), 9),
        (5.6, 5.6, 5.9, 5.9),  # between the centres of pixels
    ],
)
def test_boxes_without_a_pixel(box):
    assert same(ONE, [box], (20, 30)) == {}


def test_no_mask_at_all():
    assert found(np.zeros((0, 28, 28)), np.zeros((0, 4)), (20, 30)) == {}


def test_blobs_and_noise_of_all_sizes():
    rng = np.random.default_rng(3)
    size = (270, 480)
    distance = np.hypot(*np.mgrid[-13.5:14, -13.5:14])
    blobs = 1 / (1 + np.exp(distance - rng.uniform(3, 13, (30, 1, 1))))
    fields = np.concatenate([blobs, rng.random((10, 28, 28))]).astype(np.float32)
    corner = rng.uniform(-40, 480, (40, 2))
    extents = np.concatenate([corner, corner + rng.lognormal(4, 1, (40, 2))], 1)
    assert len(same(fields, extents, size)) > 20
    assert len(same(fields, extents, size, threshold=0.3, strict=True, outside="clamp")) > 20


def test_the_same_with_two_threads():
    rng = np.random.default_rng(4)
    fields = rng.random((60, 28, 28)).astype(np.float32)
    corner = rng.uniform(0, 300, (60, 2))
    extents = np.concatenate([corner, corner + rng.lognormal(5, 1, (60, 2))], 1)
    before = torch.get_num_threads()
    try:
        answers = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            answers.append(found(fields, extents, (600, 800)))
    finally:
        torch.set_num_threads(before)
    assert answers[0] == answers[1]


def test_recording_of_the_authors_paste(reference):
    with np.load(reference / "maskrcnn/paste_crop.npz") as recording:
        fields, extents = recording["masks"], recording["boxes_xyxy"]
        size, pasted = tuple(recording["image_hw"].tolist()), recording["pasted_bool"]
    answer = found(fields, extents, size)
    differ = []
    for index, theirs in enumerate(pasted):
        ours = np.zeros(size, bool)
        if index in answer:
            ours = rle.decode(answer[index], *size)
        near = np.abs(dense(fields[index], extents[index].astype(np.float64), size)) < 1e-5
        assert (ours == theirs)[~near].all()
        differ.append(int((ours != theirs).sum()))
    # Every pixel of the fourth lies half way between cells of 0 and 1.
    assert differ == [0, 0, 0, 4, 0, 0]
