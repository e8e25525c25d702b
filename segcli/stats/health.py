"""What has happened to a camera: its view in time order, from the column `view` of its images.

Each image has the mean brightness of its grid (`light`), the deviation of the cells (`contrast`),
the mean difference of neighbouring px (`detail`) and a hash of 64 bits of which place is darker
than its neighbour. Brightness changes neither the ratios of the three nor the hash, fog lowers
contrast and detail, a lens out of focus detail alone, and another direction changes the hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.store.query import Rows

KINDS = {
    "gap": "no images",
    "frozen": "the same picture again and again: the stream is frozen",
    "covered": "almost no contrast: covered, dark, or no signal",
    "fog": "little contrast and detail: fog, or a dirty lens",
    "blurred": "little detail: out of focus",
    "moved": "another view from here on: the camera was moved, or is lit differently",
    "light": "the light changed suddenly",
}
"""Kind of event -> what it means."""

MOST_IMAGES = 100_000
"""Per camera; of more images, one of each of so many equal spans of time is looked at."""

_LONG_S = 600.0  # of frozen pictures
_SHORT_S = 120.0  # of fog, blur, a covered lens and another view
_FEW = 3  # images, at least
_COVERED = 4.0  # grey levels of contrast
_FOG = 0.5  # of the usual contrast and detail, in proportion to the light
_BLUR = 0.6  # of the usual detail, in proportion to the contrast
_MOVED = 16  # bits of the hash; a quarter of them
_REMEMBERED = 25  # images that make the usual hash
_LIGHT = 25.0  # grey levels between two images
_SOON_S = 300.0  # between these two
_STAYS_S = 60.0
_GAP_S = 900.0
_USUAL_STEPS = 10.0  # a gap is also that many usual times between two images


@dataclass(frozen=True, slots=True)
class Event:
    """From the image at `begin` to that at `end`, or to the next one for a gap; `images` of them.
    `kind` is one of KINDS."""

    camera: str
    kind: str
    begin: datetime
    end: datetime
    images: int

    @property
    def meaning(self) -> str:
        return KINDS[self.kind]


@dataclass(frozen=True, slots=True)
class Views:
    """N images of one camera in time order: `seconds` since 1970; the others are NaN, and the
    hash 0, for images that were not measured."""

    seconds: NDArray[np.float64]
    light: NDArray[np.float64]
    contrast: NDArray[np.float64]
    detail: NDArray[np.float64]
    hash: NDArray[np.uint64]


def camera_events(rows: Rows) -> list[Event]:
    """The events of all cameras, by camera and time. Needs the view `pictures`."""
    found = []
    has_views = "view" in rows.types
    cameras = rows.tuples(
        "SELECT camera, epoch(min(moment)), epoch(max(moment)), count(*) FROM pictures "
        "WHERE moment IS NOT NULL GROUP BY camera ORDER BY camera"
    )
    for camera, first, last, images in cameras:
        bin_s = (last - first) / MOST_IMAGES if images > MOST_IMAGES else 0.0
        views = _views(rows, camera, bin_s, has_views=has_views)
        found += sorted(events_of(camera, views), key=lambda event: event.begin)
    return found


def _views(rows: Rows, camera: str, bin_s: float, *, has_views: bool) -> Views:
    fields = ("light", "contrast", "detail", "hash")
    values = [f"{f'view.{name}' if has_views else 'NULL'} AS {name}" for name in fields]
    distinct = "DISTINCT ON (floor(seconds / $bin))" if bin_s else ""
    table = rows.arrow(
        f"SELECT {distinct} * FROM (SELECT epoch(moment) AS seconds, {', '.join(values)} "
        f"FROM pictures WHERE moment IS NOT NULL AND camera = $camera) ORDER BY seconds",
        {"camera": camera, **({"bin": bin_s} if bin_s else {})},
    )

    def numbers(name: str) -> NDArray[np.float64]:
        return np.array(table[name].to_pylist(), np.float64)

    hashes = np.array([value or 0 for value in table["hash"].to_pylist()], np.int64)
    return Views(
        numbers("seconds"),
        numbers("light"),
        numbers("contrast"),
        numbers("detail"),
        hashes.view(np.uint64),
    )


def events_of(camera: str, views: Views) -> Iterator[Event]:
    """The events of one camera, kind by kind."""
    seconds = views.seconds
    for kind, first, last in _gaps(seconds):
        yield _event(camera, kind, seconds, first, last, images=0)
    known = np.flatnonzero(np.isfinite(views.light))
    if len(known) < _FEW:
        return
    seconds, light, contrast, detail = (
        a[known] for a in (seconds, views.light, views.contrast, views.detail)
    )
    hashes = views.hash[known]
    covered = contrast < _COVERED
    frozen = _frozen(light, contrast, detail, hashes)
    fog, blurred = _unclear(light, contrast, detail, covered)
    for kind, state, least_s in (
        ("frozen", frozen, _LONG_S),
        ("covered", covered, _SHORT_S),
        ("fog", fog, _SHORT_S),
        ("blurred", blurred, _SHORT_S),
    ):
        for first, last in _runs(state, seconds, least_s):
            yield _event(camera, kind, seconds, first, last)
    clear = np.flatnonzero(~(covered | fog))
    for at in _moves(seconds[clear], hashes[clear]):
        yield _event(camera, "moved", seconds, clear[at], clear[at])
    for at in _sudden(seconds, light, covered):
        yield _event(camera, "light", seconds, at, at)


def _event(
    camera: str, kind: str, seconds: NDArray[np.float64], first: int, last: int, images: int = -1
) -> Event:
    epoch = datetime(1970, 1, 1)
    begin, end = (epoch + timedelta(seconds=float(seconds[i])) for i in (first, last))
    return Event(camera, kind, begin, end, last - first + 1 if images < 0 else images)


def _gaps(seconds: NDArray[np.float64]) -> Iterator[tuple[str, int, int]]:
    steps = np.diff(seconds)
    if len(steps) == 0:
        return
    limit = max(_GAP_S, _USUAL_STEPS * float(np.median(steps)))
    for at in np.flatnonzero(steps > limit).tolist():
        yield "gap", at, at + 1


def _runs(
    state: NDArray[np.bool_], seconds: NDArray[np.float64], least_s: float
) -> Iterator[tuple[int, int]]:
    """(first, last) of each run of true values that is long enough."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], state, [False]]).astype(np.int8)))
    for first, after in edges.reshape(-1, 2).tolist():
        is_long = seconds[after - 1] - seconds[first] >= least_s
        if after - first >= _FEW and is_long:
            yield first, after - 1


def _frozen(*figures: NDArray[Any]) -> NDArray[np.bool_]:
    """True for images of which all figures equal those of a neighbour: no two pictures with noise
    do."""
    same = np.all([figure[1:] == figure[:-1] for figure in figures], axis=0)
    state: NDArray[np.bool_] = np.append(same, False) | np.append(False, same)
    return state


def _unclear(
    light: NDArray[np.float64],
    contrast: NDArray[np.float64],
    detail: NDArray[np.float64],
    covered: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Fog and blur, against the medians of the camera."""
    nothing = np.zeros(len(light), bool)
    if covered.all():
        return nothing, nothing
    bright = np.maximum(light, 1.0)
    relative, fine = contrast / bright, detail / np.maximum(contrast, 0.1)
    usual, usual_fine = np.median(relative[~covered]), np.median(fine[~covered])
    sharp = detail / bright
    usual_sharp = np.median(sharp[~covered])
    fog = (relative < _FOG * usual) & (sharp < _FOG * usual_sharp) & ~covered
    blurred = (fine < _BLUR * usual_fine) & (sharp < _BLUR * usual_sharp) & ~covered & ~fog
    return fog, blurred


def _moves(seconds: NDArray[np.float64], hashes: NDArray[np.uint64]) -> Iterator[int]:
    """Where the hash leaves what was usual before, and does not come back."""
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1)
    recent: list[int] = []
    pending: list[int] = []
    for i in range(len(bits)):
        if len(recent) < _FEW:
            recent.append(i)
            continue
        usual = bits[recent].mean(0) > 0.5
        if (bits[i] != usual).sum() < _MOVED:
            pending = []
            recent = [*recent[1 - _REMEMBERED :], i]
            continue
        pending.append(i)
        if len(pending) >= _FEW and seconds[i] - seconds[pending[0]] >= _SHORT_S:
            steady = bits[pending].mean(0)
            if np.minimum(steady, 1 - steady).sum() < _MOVED:  # one new view, not traffic
                yield pending[0]
                recent, pending = pending[-_REMEMBERED:], []
            else:
                pending = pending[1:]


def _sudden(
    seconds: NDArray[np.float64], light: NDArray[np.float64], covered: NDArray[np.bool_]
) -> Sequence[int]:
    """Where the light jumps and stays: a lorry in front of the camera passes in a minute. What is
    not over a minute before the last image is not known yet."""
    is_sudden = np.abs(np.diff(light)) >= _LIGHT
    is_sudden &= (np.diff(seconds) <= _SOON_S) & ~covered[1:] & ~covered[:-1]
    is_sudden &= seconds[1:] <= seconds[-1] - _STAYS_S
    found = []
    for at in (np.flatnonzero(is_sudden) + 1).tolist():
        first = min(int(np.searchsorted(seconds, seconds[at] - _STAYS_S)), max(0, at - _FEW))
        last = max(int(np.searchsorted(seconds, seconds[at] + _STAYS_S)), at + _FEW)
        step = np.median(light[at:last]) - np.median(light[first:at])
        if last <= len(light) and abs(step) >= _LIGHT:
            found.append(at)
    return found
