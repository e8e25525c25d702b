import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

import segcli
from segcli.errors import UsageError
from segcli.masks import rle

masks = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9))


@given(masks)
def test_round_trip(mask):
    text = rle.encode(mask)
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert text == theirs["counts"]
    assert (rle.decode(text, *mask.shape) == mask).all()
    assert (segcli.decode(text, *mask.shape) == mask).all()


@given(masks)
def test_area_and_box_like_pycocotools(mask):
    text = rle.encode(mask)
    theirs = {"size": list(mask.shape), "counts": text}
    assert rle.area(text, *mask.shape) == mask.sum() == coco.area(theirs)
    assert rle.to_box(text, *mask.shape) == tuple(coco.toBbox(theirs))


@given(masks)
def test_crop_is_the_mask_in_its_box(mask):
    x, y, crop = rle.decode_crop(rle.encode(mask), *mask.shape)
    tall, wide = crop.shape
    frame = np.zeros_like(mask)
    frame[y : y + tall, x : x + wide] = crop
    assert (frame == mask).all()
    if mask.any():
        assert (x, y, wide, tall) == rle.to_box(rle.encode(mask), *mask.shape)
    else:
        assert crop.shape == (0, 0)


def test_crop_of_a_small_mask_in_a_huge_frame():
    # Two px, one above the other, at (x, y) = (40000, 30000) of 60000 x 60000.
    before = 40000 * 60000 + 30000
    text = rle.compress(np.array([before, 2, 60000 * 60000 - before - 2]))
    x, y, crop = rle.decode_crop(text, 60000, 60000)
    assert (x, y, crop.tolist()) == (40000, 30000, [[True], [True]])


def test_box_of_a_run_over_three_columns():
    mask = np.zeros((4, 5), bool)
    mask[3, 1] = mask[:, 2] = mask[0, 3] = True
    assert rle.to_box(rle.encode(mask), 4, 5) == (1, 0, 3, 4)


@given(st.lists(masks, min_size=1, max_size=4))
def test_boxes_of_many(several):
    mask = several[0]
    runs = [rle.expand(rle.encode(m), *m.shape) for m in several if m.shape[0] == mask.shape[0]]
    boxes = rle.runs_to_boxes(np.concatenate(runs), np.array([len(r) for r in runs]), len(mask))
    ones = [rle.runs_to_boxes(r, np.array([len(r)]), len(mask))[0] for r in runs]
    assert boxes.tolist() == [box.tolist() for box in ones]


@pytest.mark.parametrize("function", [rle.decode, rle.decode_crop, rle.area, rle.to_box])
def test_damaged_text_never_reaches_compiled_code(function):
    with pytest.raises(UsageError):
        function(b"o0o0o0", 4, 4)


def test_encode_refuses_what_is_no_mask():
    with pytest.raises(ValueError, match="height, width"):
        rle.encode(np.zeros((0, 4), bool))


def test_import_of_segcli_is_light():
    code = "import segcli, sys; print(sorted({'numpy', 'torch', 'pycocotools'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_import_of_rle_brings_no_torch():
    code = "import segcli.masks.rle, sys; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_the_public_door_takes_the_sizes_that_pandas_gives():
    text = rle.encode(np.ones((2, 3), bool))
    assert segcli.decode(text, 2.0, np.float64(3)).shape == (2, 3)


@pytest.mark.parametrize("height", [float("nan"), 2.5])
def test_the_public_door_refuses_other_sizes(height):
    with pytest.raises(UsageError, match="whole numbers"):
        segcli.decode(rle.encode(np.ones((2, 3), bool)), height, 3)
