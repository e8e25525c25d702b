"""Whether two images look the same: noise and exposure do not count, small objects do."""

import numpy as np
import pytest
from numpy.typing import NDArray

from segcli.images.look import GRID, differ, look_at

SIZE = (360, 640)


@pytest.fixture(scope="module")
def scene() -> NDArray[np.float64]:
    """A yard: smooth surfaces, edges and texture, 20 to 220."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    picture = 70 + 60 * y / SIZE[0] + 25 * np.sin(x / 40) + rng.normal(0, 6, SIZE)
    picture[200:, 100:180] += 60
    picture[40:120, 400:560] -= 50
    return np.clip(picture, 20, 220)


def pixels(picture: NDArray[np.float64], *, noise: float = 0, seed: int = 1) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    noisy = picture + rng.normal(0, noise, picture.shape) if noise else picture
    return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, 2)


def same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    return not differ(look_at(one), look_at(other))


@pytest.mark.parametrize("noise", [0, 4, 12, 18])
def test_noise_is_no_change(scene, noise):
    assert same(pixels(scene, noise=noise), pixels(scene, noise=noise, seed=2))


@pytest.mark.parametrize(("gain", "offset"), [(0.8, 0), (1.15, 0), (1, -15), (1, 20), (0.9, 12)])
def test_an_exposure_step_is_no_change(scene, gain, offset):
    assert same(pixels(scene, noise=4), pixels(gain * scene + offset, noise=4, seed=2))


@pytest.mark.parametrize("noise", [0, 4, 12])
@pytest.mark.parametrize("step", [1, 0.9])
def test_a_small_object_is_a_change(scene, noise, step):
    after = scene * step
    after[210:234, 300:310] = 30  # 10 x 24 px: a person far away
    assert not same(pixels(scene, noise=noise), pixels(after, noise=noise, seed=2))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: np.roll(s, 12, axis=1),  # the camera moved
        lambda s: np.full_like(s, 60),  # it was covered
        lambda s: 0.5 * s + 90,  # fog
        lambda s: 0.3 * s,  # the light went off
        lambda s: s[:, ::-1],
    ],
)
def test_a_change_of_the_view_is_a_change(scene, change):
    assert not same(pixels(scene, noise=4), pixels(change(scene), noise=4, seed=2))


def test_images_of_any_size_have_one_grid(scene):
    assert look_at(pixels(scene)).grid.shape == GRID
    for size in ((1, 1), (3, 200), (9, 8), (64, 36)):
        look = look_at(np.full((*size, 3), 80, np.uint8))
        assert look.grid.shape == GRID
        assert look.view.light == pytest.approx(80, abs=0.1)
        assert (look.view.contrast, look.view.detail) == (pytest.approx(0, abs=1e-3), 0)


def test_the_view_in_numbers(scene):
    before = look_at(pixels(scene, noise=4)).view
    brighter = look_at(pixels(scene + 25, noise=4, seed=2)).view
    assert brighter.light == pytest.approx(before.light + 25, abs=0.5)
    assert brighter.contrast == pytest.approx(before.contrast, rel=0.02)
    assert distance(before.hash, brighter.hash) <= 6
    moved = look_at(pixels(np.roll(scene, 90, axis=1), noise=4, seed=2)).view
    assert distance(before.hash, moved.hash) >= 16
    fog = look_at(pixels(0.3 * scene + 120, noise=1)).view
    assert fog.contrast < 0.4 * before.contrast
    assert fog.detail < 0.5 * before.detail
    assert -(2**63) <= before.hash < 2**63


def distance(one: int, other: int) -> int:
    return ((one ^ other) & (2**64 - 1)).bit_count()
