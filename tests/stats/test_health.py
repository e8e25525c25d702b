"""Events of cameras with a known history, from pictures to the list."""

from collections.abc import Callable
from datetime import datetime
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from segcli.images.look import look_at
from segcli.stats.health import KINDS, Event, Views, events_of

Picture = NDArray[np.float64]
Change = Callable[[Picture], Picture]
SIZE = (144, 256)
MINUTES = 60


@cache
def scene(seed: int = 0) -> Picture:
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.uniform(-45, 45, (9, 16)), np.ones((16, 16)))
    texture = np.kron(rng.uniform(-16, 16, (72, 128)), np.ones((2, 2)))
    return 110 + blocks + texture


def blurred(picture: Picture) -> Picture:
    """The mean of 9 x 9 px."""
    for axis in (0, 1):
        picture = sum(np.roll(picture, shift, axis) for shift in range(-4, 5)) / 9
    return picture


def views(changes: dict[int, Change | None], *, step: float = 60.0, noise: float = 2.0) -> Views:
    """A picture a minute for an hour; a change holds from its minute to the next one. None: no
    images. An object walks through all the time."""
    rng = np.random.default_rng(7)
    change: Change | None = lambda picture: picture  # noqa: E731
    seconds, found, last = [], [], None
    for minute in range(MINUTES):
        change = changes.get(minute, change)
        if change is None:
            continue
        picture = scene().copy()
        at = 4 * minute % 200
        picture[60:100, at : at + 16] = 40
        picture = change(picture)
        if change is not frozen or last is None:
            last = np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
        seconds.append(step * minute)
        found.append(look_at(np.repeat(last[..., None], 3, 2)).view)
    columns = [[getattr(v, name) for v in found] for name in ("light", "contrast", "detail")]
    hashes = np.array([v.hash for v in found], np.int64).view(np.uint64)
    return Views(np.array(seconds), *map(np.array, columns), hashes)


def plain(picture: Picture) -> Picture:
    return picture


def frozen(picture: Picture) -> Picture:
    return picture


def history(changes: dict[int, Change | None]) -> list[tuple[str, int, int]]:
    def minute(moment: datetime) -> int:
        return round((moment - datetime(1970, 1, 1)).total_seconds() / 60)

    events = sorted(events_of("gate", views(changes)), key=lambda event: event.begin)
    return [(e.kind, minute(e.begin), minute(e.end)) for e in events]


@pytest.mark.parametrize(
    ("changes", "events"),
    [
        ({}, []),
        ({20: lambda p: p * 0.95 + 5, 40: plain}, []),  # exposure
        ({20: lambda p: p + 40, 40: plain}, [("light", 20, 20), ("light", 40, 40)]),
        ({20: lambda p: 0 * p + 60, 40: plain}, [("covered", 20, 39)]),
        ({20: lambda p: 0.3 * p + 77, 40: plain}, [("fog", 20, 39)]),
        ({20: blurred, 40: plain}, [("blurred", 20, 39)]),
        ({20: lambda p: scene(1)}, [("moved", 20, 20)]),
        ({20: lambda p: np.roll(p, 40, 1), 40: plain}, [("moved", 20, 20), ("moved", 40, 40)]),
        ({20: frozen, 40: plain}, [("frozen", 19, 39)]),
        ({20: None, 40: plain}, [("gap", 19, 40)]),
        ({20: lambda p: 0 * p + 60, 21: plain}, []),  # a bird on the lens
        ({20: None, 21: plain}, []),
        ({20: lambda p: p + 40, 21: plain}, []),  # something large and bright
    ],
)
def test_each_event_is_named_and_dated(
    changes: dict[int, Change | None], events: list[tuple[str, int, int]]
) -> None:
    assert history(changes) == events


def test_images_without_views_have_gaps_only() -> None:
    nan = np.full(4, np.nan)
    seconds = np.array([0.0, 60.0, 120.0, 7200.0])
    unmeasured = Views(seconds, nan, nan, nan, np.zeros(4, np.uint64))
    (event,) = events_of("gate", unmeasured)
    assert event == Event("gate", "gap", datetime(1970, 1, 1, 0, 2), datetime(1970, 1, 1, 2), 0)
    assert event.meaning == KINDS["gap"]


def test_one_image_or_none() -> None:
    for n in (0, 1):
        assert list(events_of("gate", Views(*np.zeros((4, n)), np.zeros(n, np.uint64)))) == []
