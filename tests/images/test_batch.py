"""Sizes as integers, resizing as Pillow does it, padding with zeros."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage
from PIL import __version__ as pil_version

from segcli.images.batch import canvas_size, collate, content_size, fit
from segcli.types import Image, ModelInfo, Resize

INFO = ModelInfo("toy", "toy", ("person",), (1,), Resize(64, 96), stride=32)
sides = st.integers(1, 20_000)
resizes = st.builds(
    Resize, st.integers(1, 2000), st.integers(1, 3000), rounding=st.sampled_from(["round", "floor"])
)


@pytest.mark.parametrize(
    ("size", "resize", "content"),
    [
        ((480, 640), Resize(800, 1333), (800, 1067)),
        ((480, 640), Resize(800, 1333, rounding="floor"), (800, 1066)),
        ((1080, 1920), Resize(800, 1333), (750, 1333)),
        ((1920, 1080), Resize(800, 1333), (1333, 750)),
        ((1, 1), Resize(800, 1333), (800, 800)),
        ((1, 5000), Resize(800, 1333), (1, 1333)),
        ((5000, 1), Resize(640, 640), (640, 1)),
        ((12000, 9000), Resize(800, 1333), (1067, 800)),
        ((3, 7), Resize(550, 500, mode="stretch"), (550, 500)),
        ((4, 6), Resize(1, 99), (1, 2)),  # 1.5 rounds up
    ],
)
def test_content_size(size, resize, content) -> None:
    assert content_size(size, resize) == content


@given(sides, sides, resizes)
def test_content_is_within_the_limits(height: int, width: int, resize: Resize) -> None:
    content = content_size((height, width), resize)
    assert min(content) >= 1
    assert max(content) <= max(resize.long, 1)
    assert min(content) <= resize.short
    assert min(content) == resize.short or max(content) == resize.long
    assert content_size((width, height), resize) == content[::-1]


@given(sides, sides, st.integers(1, 128))
def test_canvas_is_the_next_multiple(height: int, width: int, stride: int) -> None:
    canvas = canvas_size((height, width), stride)
    for side, content in zip(canvas, (height, width), strict=True):
        assert side % stride == 0
        assert 0 <= side - content < stride


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 70), st.integers(1, 70), st.randoms())
def test_pixels_equal_pillows(h: int, w: int, short: int, long: int, random) -> None:
    pixels = np.frombuffer(random.randbytes(h * w * 3), np.uint8).reshape(h, w, 3).copy()
    info = dataclasses.replace(INFO, resize=Resize(short, long, mode="stretch"))
    resized = PilImage.fromarray(pixels).resize((long, short), PilImage.Resampling.BILINEAR)
    fitted = fit(Image("a", pixels, (h, w)), info)
    # torch computes as Pillow-SIMD does; plain Pillow has finer coefficients and rounds once less.
    rounding = 0 if ".post" in pil_version else 1
    assert np.abs(fitted.pixels.astype(int) - np.asarray(resized)).max() <= rounding
    assert fitted.original_size == (h, w)


def test_without_antialias_two_taps_a_side() -> None:
    pixels = np.zeros((1, 8, 3), np.uint8)
    pixels[0, 1] = 200
    info = dataclasses.replace(INFO, resize=Resize(1, 2, mode="stretch", antialias=False))
    # Centres at 1.5 and 5.5 of eight: the mean of pixels 1 and 2, of pixels 5 and 6.
    assert fit(Image("a", pixels, (1, 8)), info).pixels[0, :, 0].tolist() == [100, 0]


def test_an_image_of_content_size_is_left_alone() -> None:
    image = Image("a", np.zeros((64, 64, 3), np.uint8), (64, 64))
    assert fit(image, INFO) is image


def test_content_follows_the_original_not_the_scaled_pixels() -> None:
    scaled = Image("a", np.zeros((100, 150, 3), np.uint8), (799, 1199))
    assert fit(scaled, INFO).pixels.shape == (*content_size((799, 1199), INFO.resize), 3)


def test_collate_pads_right_and_below_with_zeros() -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) + 1
    info = dataclasses.replace(INFO, stride=4)
    batch = collate([Image("a", pixels, (20, 30)), Image("b", pixels[:1], (10, 30))], info)
    assert batch.pixels.shape == (2, 3, 4, 4)
    assert batch.pixels.dtype == torch.uint8
    assert batch.keys == ("a", "b")
    assert batch.content_sizes == ((2, 3), (1, 3))
    assert batch.image_sizes == ((20, 30), (10, 30))
    assert torch.equal(batch.pixels[0, :, :2, :3], torch.from_numpy(pixels).permute(2, 0, 1))
    assert int(batch.pixels[0].sum()) == int(pixels.sum())
    assert int(batch.pixels[1].sum()) == int(pixels[:1].sum())


def test_collate_without_padding() -> None:
    batch = collate([Image("a", np.full((32, 64, 3), 7, np.uint8), (32, 64))], INFO)
    assert batch.pixels.shape == (1, 3, 32, 64)
    assert batch.pixels.unique().tolist() == [7]


@pytest.mark.parametrize("size", [(64, 96), (60, 90)])
def test_collate_locks_the_memory_that_a_gpu_copies_from(size, monkeypatch) -> None:
    asked = []
    for name in ("empty", "zeros"):
        make = getattr(torch, name)

        def told(*shape, pin_memory, make=make, **options):
            asked.append(pin_memory)
            return make(*shape, **options)  # locking itself needs a GPU

        monkeypatch.setattr(torch, name, told)
    image = Image("a", np.ones((*size, 3), np.uint8), size)
    for locked in (False, True):
        batch = collate([image], INFO, locked=locked)
        assert batch.pixels.sum() == 3 * size[0] * size[1]
    assert asked == [False, True]


def test_collate_refuses_other_canvases() -> None:
    one, other = (Image("a", np.zeros((n, 32, 3), np.uint8), (n, 32)) for n in (32, 64))
    with pytest.raises(ValueError, match=r"one canvas, got \[\(32, 32\), \(64, 32\)\]"):
        collate([one, other], INFO)
    with pytest.raises(ValueError, match="one canvas"):
        collate([], INFO)
