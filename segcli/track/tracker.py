"""Follow objects through the frames of one camera.

Masks with a good score are matched first, then weak ones to what is left, as in ByteTrack (Zhang et
al., ECCV 2022), by the IoU of masks: that of a track's last mask, moved to where it is expected.
Objects so fast that masks do not meet are matched last, by the IoU of boxes grown on each side, as
in C-BIoU (Yang et al., WACV 2023). Each time the assignment with the largest sum is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from segcli.masks import rle
from segcli.track.motion import Axis
from segcli.types import Size

Box = tuple[float, float, float, float]  # x, y, w, h px
Place = tuple[str, int]
"""The key of an image and the number of a mask in it."""

_STRONG_IOU = 0.2  # the least of masks with a good score
_WEAK_IOU = 0.4  # of others
_GROWN = 0.5  # how far boxes are grown, in their own sides
_GROWN_IOU = 0.1
_ALIKE = 0.3  # the least share of one box's area that the other's has
_SAME_IOU = 0.6  # a mask that overlaps a matched one by more is the same object once more
_UNSURE = 0.5  # of the longest gap: what has no number yet may be false, and is given up sooner
_RECENT = 1.0  # s: a weak mask is no proof of an object that was lost for longer


@dataclass(frozen=True, slots=True)
class Rules:
    """`max_gap`: seconds for which an object may be out of sight, or seen only with weak scores.
    `min_frames`: an object seen with a good score in fewer frames gets no number. `weak_score`:
    masks with lower scores are not looked at."""

    max_gap: float = 3.0
    min_frames: int = 2
    weak_score: float = 0.1


@dataclass(frozen=True, slots=True)
class Detection:
    """A mask of one frame: `number` is its own in the frame; `strong`: its score is good enough to
    begin a track."""

    number: int
    category_id: int
    box: Box
    rle: bytes
    strong: bool


@dataclass(slots=True)
class Track:
    """An object while it is followed. `id` is 0 until it was seen in enough frames; `pending` are
    its masks up to then. `key`, `time` (s), `box` and `mask` are of the frame that showed it last,
    `proven` is the time of the last good score, and `frames` counts those.
    """

    category_id: int
    key: str
    time: float
    size: Size
    box: Box
    mask: bytes
    x: Axis
    y: Axis
    proven: float
    frames: int = 1
    id: int = 0
    pending: list[Place] = field(default_factory=list)

    def shift(self, time: float) -> tuple[float, float]:
        """How far it is expected to have moved since, px to the right and down."""
        dt = time - self.time
        return self.x.expected(dt) - self.x.position, self.y.expected(dt) - self.y.position

    def expected_box(self, time: float) -> Box:
        """Where all of it is expected to be, what is hidden included."""
        dt, w, h = time - self.time, self.x.length, self.y.length
        return self.x.expected(dt) - w / 2, self.y.expected(dt) - h / 2, w, h

    def see(self, one: Detection, key: str, time: float, size: Size) -> None:
        left, top, w, h = one.box
        dt, scale = time - self.time, float(np.sqrt(self.x.length * self.y.length))
        self.x.see(left, left + w, dt, scale)
        self.y.see(top, top + h, dt, scale)
        self.key, self.time, self.size, self.box, self.mask = key, time, size, one.box, one.rle
        if one.strong:
            self.proven = time
            self.frames += 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"mask": self.mask.decode("ascii")}

    @staticmethod
    def from_json(values: dict[str, Any]) -> Track:
        height, width = values["size"]
        x, y, w, h = values["box"]
        return Track(
            **values
            | {
                "size": (height, width),
                "box": (x, y, w, h),
                "mask": values["mask"].encode("ascii"),
                "x": Axis(**values["x"]),
                "y": Axis(**values["y"]),
                "pending": [(key, number) for key, number in values["pending"]],
            }
        )


class Tracker:
    """The tracks of one camera; frames come in the order of time.

    `new_id` gives the number of the next track, and `found` hears that a mask belongs to one.
    `clock` is the time of the last frame (s), None before the first one.
    """

    def __init__(
        self,
        rules: Rules,
        new_id: Callable[[], int],
        found: Callable[[Place, int], None],
        tracks: Iterable[Track] = (),
        clock: float | None = None,
    ) -> None:
        self.tracks = list(tracks)
        self.clock = clock
        self._rules, self._new_id, self._found = rules, new_id, found

    def step(self, key: str, time: float, size: Size, masks: Sequence[Detection]) -> None:
        """A frame at `time` s of `size` (H, W) px with its masks."""
        self._forget(time)
        self.clock = time
        strong = [one for one in masks if one.strong]
        weak = [one for one in masks if not one.strong]
        free = [track for track in self.tracks if track.size == size]
        matched: list[tuple[Track, Detection]] = []

        def match(some: list[Detection], to: list[Track], how: Any, least: float) -> None:
            pairs = _assigned(how(to, some, time, size), least)
            for t, d in pairs:
                matched.append((to[t], some[d]))
            taken = {id(to[t]) for t, _ in pairs}
            free[:] = [track for track in free if id(track) not in taken]
            used = {d for _, d in pairs}
            some[:] = [one for d, one in enumerate(some) if d not in used]

        match(strong, list(free), _mask_ious, _STRONG_IOU)
        match(weak, [t for t in free if time - t.time <= _RECENT], _mask_ious, _WEAK_IOU)
        match(strong, list(free), _grown_ious, _GROWN_IOU)
        for track, one in matched:
            track.see(one, key, time, size)
            self._note(track, (key, one.number))
        shown = [one for _, one in matched]
        for one in strong:  # the best first
            if not _is_again(one, shown, size):
                self._begin(one, key, time, size)
                shown.append(one)

    def repeat(self, repeated: str, key: str, time: float) -> None:
        """A frame at `time` s that shows what `repeated` showed: nothing has moved."""
        self.clock = time
        for track in self.tracks:
            if track.key == repeated:
                track.proven += time - track.time
                track.time = time
                track.x.rest()
                track.y.rest()

    def _forget(self, time: float) -> None:
        self.tracks = [track for track in self.tracks if not self._is_lost(track, time)]

    def _is_lost(self, track: Track, time: float) -> bool:
        away = time - track.proven
        is_sure = track.id > 0 or track.time == self.clock  # in the frame before
        return away > self._rules.max_gap * (1 if is_sure else _UNSURE)

    def _begin(self, one: Detection, key: str, time: float, size: Size) -> None:
        left, top, w, h = one.box
        scale = float(np.sqrt(w * h))
        x, y = Axis.begun(left, left + w, scale), Axis.begun(top, top + h, scale)
        track = Track(one.category_id, key, time, size, one.box, one.rle, x, y, time)
        self.tracks.append(track)
        self._note(track, (key, one.number))

    def _note(self, track: Track, place: Place) -> None:
        """The mask belongs to the track; its number is given as soon as there are enough."""
        if track.id:
            self._found(place, track.id)
            return
        track.pending.append(place)
        if track.frames >= self._rules.min_frames:
            track.id = self._new_id()
            for earlier in track.pending:
                self._found(earlier, track.id)
            track.pending = []


def _assigned(worth: NDArray[np.float64], least: float) -> list[tuple[int, int]]:
    """(row, column) of the assignment with the largest sum, without pairs worth less."""
    worth = np.where(worth >= least, worth, 0.0)
    if not worth.any():
        return []
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if worth[r, c] > 0]


def _same_category(tracks: Sequence[Track], masks: Sequence[Detection]) -> NDArray[np.bool_]:
    ours = np.array([track.category_id for track in tracks], np.int64)
    theirs = np.array([one.category_id for one in masks], np.int64)
    return np.equal.outer(ours, theirs)


def _mask_ious(
    tracks: Sequence[Track], masks: Sequence[Detection], time: float, size: Size
) -> NDArray[np.float64]:
    """(tracks, masks); 0 for other categories."""
    if not tracks or not masks:
        return np.zeros((len(tracks), len(masks)))
    expected = [rle.moved(t.mask, size, *t.shift(time)) for t in tracks]
    found = rle.ious(expected, [one.rle for one in masks], size)
    return np.where(_same_category(tracks, masks), found, 0.0)


def _grown_ious(
    tracks: Sequence[Track], masks: Sequence[Detection], time: float, size: Size
) -> NDArray[np.float64]:
    """The same of boxes, each grown by a share of its sides."""
    if not tracks or not masks:
        return np.zeros((len(tracks), len(masks)))
    ours = _inside(np.array([track.expected_box(time) for track in tracks]), size)
    theirs = np.array([one.box for one in masks])
    found = _box_ious(_grown(ours), _grown(theirs))
    areas = ours[:, 2:].prod(axis=1)[:, None] / theirs[:, 2:].prod(axis=1)[None, :]
    found = np.where(np.minimum(areas, 1 / areas) >= _ALIKE, found, 0.0)
    return np.where(_same_category(tracks, masks), found, 0.0)


def _inside(boxes: NDArray[np.float64], size: Size) -> NDArray[np.float64]:
    """xywh, cut at the edges of an image (H, W); at least 1 px of each stays."""
    low = np.clip(boxes[:, :2], 0, np.array(size[::-1]) - 1)
    high = np.clip(boxes[:, :2] + boxes[:, 2:], low + 1, size[::-1])
    return np.concatenate([low, high - low], axis=1)


def _grown(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """xywh -> xyxy."""
    margin = _GROWN * boxes[:, 2:]
    return np.concatenate([boxes[:, :2] - margin, boxes[:, :2] + boxes[:, 2:] + margin], axis=1)


def _box_ious(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    found: NDArray[np.float64] = shared / (areas[0][:, None] + areas[1][None, :] - shared)
    return found


def _is_again(one: Detection, shown: Sequence[Detection], size: Size) -> bool:
    """An object that is shown already, found a second time."""
    others = [other.rle for other in shown if other.category_id == one.category_id]
    return bool(others) and float(rle.ious([one.rle], others, size).max()) > _SAME_IOU
