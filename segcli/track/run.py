"""Give the masks of an output track ids, camera by camera; a rerun goes on where each ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from segcli import store
from segcli.cloud.urls import shown
from segcli.errors import UsageError
from segcli.stats.moments import moments_of
from segcli.store.image_masks import Mask
from segcli.store.query import Rows
from segcli.store.tracking import Tracked, TrackIds, open_tracked, read_some_masks
from segcli.track.frames import (
    Frame,
    Position,
    check_times,
    count_earlier,
    count_earlier_of,
    count_timeless,
    list_frames,
    new_frames,
    parts_of,
    time_pattern,
)
from segcli.track.tracker import Detection, Place, Rules, Track, Tracker

Report = Callable[[str], None]
_BATCH = 20_000  # images between two commits; their masks and the tracks are in memory
_STILL = 1.0  # s from one still to the next where nothing states their times


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackOptions:
    """`out`: a copy of the output to be tracked instead, made or brought up to date first.
    `min_score`: the score from which a mask begins a track; None: the model's default scores.

    `time_pattern` and `time_column` state when an image was taken, as for statistics; by default
    what the output records, or the names. `restart`: track all images again.
    """

    masks: Path
    out: Path | None = None
    rules: Rules = field(default_factory=Rules)
    min_score: float | None = None
    time_pattern: str | None = None
    time_column: str | None = None
    restart: bool = False
    wait: bool = False


@dataclass(slots=True)
class TrackSummary:
    """What a pass did in `output`: new `images`, `tracks` that began in them, and `masks` that got
    an id.

    `late` images came since the last pass and lie before the end of their sequence, so that they
    stay without ids. `apart` of `steps` from one image to the next were longer than `max_gap`.
    `timeless` clips state no time. `changed` images were processed again since the last pass and
    lost their ids, or have masks without.
    """

    output: Path
    images: int = 0
    masks: int = 0
    tracks: int = 0
    late: int = 0
    steps: int = 0
    apart: int = 0
    timeless: int = 0
    changed: int = 0


@dataclass(slots=True)
class _Sequence:
    """One tracker and how far it has come."""

    tracker: Tracker
    position: Position = (-1, "", -1)

    def tick(self, frame: Frame) -> tuple[float, float | None]:
        """The time of a frame, never before that of the frame before, and the step since that."""
        before = self.tracker.clock
        now = frame.time
        if now is None:
            now = 0.0 if before is None else before + _STILL
        if before is None:
            return now, None
        now = max(before, now)
        return now, now - before

    def to_json(self) -> dict[str, Any]:
        tracks = [track.to_json() for track in self.tracker.tracks]
        clock = self.tracker.clock
        return {"position": self.position, "clock": clock, "tracks": tracks}


def track(options: TrackOptions, *, report: Report) -> TrackSummary:
    """Fill `track_id` for the images that follow those that are tracked already.

    Raises UsageError, Locked and OutputError. A kill at any moment leaves whole parts, and the next
    call computes what was not finished again, with the same ids.
    """
    path, source = options.out or options.masks, options.masks if options.out else None
    with open_tracked(path, source=source, wait=options.wait, waiting=report) as output:
        return _Pass(options, path, output).all()


class _Pass:
    """The state of one call of `track`."""

    def __init__(self, options: TrackOptions, path: Path, output: Tracked) -> None:
        self._options, self._output = options, output
        state: Mapping[str, Any] = {} if options.restart else output.state or {}
        self.summary = TrackSummary(path)
        self._is_continued = bool(state)
        self._next: int = state.get("next", 1)
        self._ids: list[tuple[Place, int]] = []
        self._fresh: dict[str, int] = {}  # parts that no pass has listed, with their late images
        self._asked, self._state = _asked(options, state), state
        self._min_score = store.min_scores(store.read_settings(path), options.min_score)
        self._sequences = {
            name: self._sequence(values) for name, values in state.get("sequences", {}).items()
        }

    def all(self) -> TrackSummary:
        with Rows(self._output.paths) as rows:
            self._check(rows)
            # Only the first pass looks: a pattern found later would order the images differently.
            if self._asked["time_pattern"] is None and not self._is_continued:
                self._asked["time_pattern"] = time_pattern(rows, self._asked["time_column"])
            ended = {name: one.position for name, one in self._sequences.items()}
            list_frames(
                rows,
                ended,
                pattern=self._asked["time_pattern"],
                column=self._asked["time_column"],
            )
            self._list_late(rows)
            pending = [
                key
                for one in self._sequences.values()
                for track in one.tracker.tracks
                for key, _ in track.pending
            ]
            parts = parts_of(rows, pending)
            self.summary.timeless = count_timeless(rows)
            frames = new_frames(rows)
            while batch := list(islice(frames, _BATCH)):
                parts |= {frame.key: frame.part for frame in batch}
                self._track(batch)
                self._commit(batch, parts)
        if self._fresh and self._output.state is not None:
            self._output.mark(self._fresh)
        self._output.settle()
        return self.summary

    def _list_late(self, rows: Rows) -> None:
        """Count the images that came late or were processed again, whatever was removed since."""
        earlier = count_earlier(rows) if "untracked" not in self._state else {}  # an older state
        names = dict(enumerate(self._output.names))
        self._fresh = {
            name: earlier.get(n, 0) for n, name in names.items() if name in self._output.fresh
        }
        if self._is_continued:
            self.summary.late = self._output.late + sum(self._fresh.values())
            self.summary.changed = count_earlier_of(rows, self._output.rewritten)

    def _check(self, rows: Rows) -> None:
        """Raises UsageError for a time that cannot be read, and for options other than before."""
        options = self._options
        if not self._state:
            check_times(rows, self.summary.output, options.time_pattern, options.time_column)
            return
        moments_of(rows.types, pattern=options.time_pattern, column=options.time_column, exif=False)
        changed = [
            f"`{name}` {_shown(name, self._state[name])} there, {_shown(name, value)} now"
            for name, value in self._asked.items()
            if value != self._state[name]
        ]
        if changed:
            raise UsageError(
                f"{shown(self.summary.output)} was tracked with other options, so new tracks would "
                f"not fit: {'; '.join(changed)}. Use the old ones, or track all images again with "
                f"`restart`"
            )

    def _track(self, batch: Sequence[Frame]) -> None:
        masks = _Masks(self._output.paths, batch, self._options.rules.weak_score)
        for frame in batch:
            one = self._sequences.setdefault(frame.sequence, self._sequence({}))
            time, step = one.tick(frame)
            if step is not None:
                self.summary.steps += 1
                self.summary.apart += step > self._options.rules.max_gap
            if frame.repeats is not None:
                one.tracker.repeat(frame.repeats, frame.key, time)
            else:
                found = [self._detection(mask) for mask in masks.of(frame)]
                one.tracker.step(frame.key, time, frame.size, found)
            one.position = frame.position
        self.summary.images += len(batch)

    def _commit(self, batch: Sequence[Frame], parts: Mapping[str, int]) -> None:
        """Write the ids of a batch, and with them where it ended."""
        names = self._output.names
        changes: dict[str, TrackIds] = {}
        for frame in batch:
            changes.setdefault(names[frame.part], TrackIds()).seen.add(frame.key)
        for (key, number), track in self._ids:
            if key in parts:  # or its rows have been removed since
                name = names[parts[key]]
                changes.setdefault(name, TrackIds()).add(key, number, track)
        for name, late in self._fresh.items():
            changes.setdefault(name, TrackIds()).late = late
        self._fresh = {}
        state = {
            **self._asked,
            "next": self._next,
            "sequences": {name: one.to_json() for name, one in self._sequences.items()},
        }
        self._output.write(changes, state, names[batch[-1].part])
        self.summary.masks += len(self._ids)
        self._ids = []

    def _sequence(self, values: Mapping[str, Any]) -> _Sequence:
        tracks = [Track.from_json(track) for track in values.get("tracks", ())]
        clock = values.get("clock")
        tracker = Tracker(self._options.rules, self._new_id, self._found, tracks, clock)
        if not values:
            return _Sequence(tracker)
        start, file, number = values["position"]
        return _Sequence(tracker, (start, file, number))

    def _new_id(self) -> int:
        self._next += 1
        self.summary.tracks += 1
        return self._next - 1

    def _found(self, place: Place, track: int) -> None:
        self._ids.append((place, track))

    def _detection(self, mask: Mask) -> Detection:
        strong = mask.score is not None and mask.score >= self._min_score.of(mask.category)
        return Detection(mask.number, mask.category_id, mask.box, mask.rle, strong)


class _Masks:
    """The masks of a batch, read part by part, each when it is needed first."""

    def __init__(self, paths: Sequence[Path], batch: Sequence[Frame], min_score: float) -> None:
        self._paths, self._min_score = paths, min_score
        self._keys: dict[int, set[str]] = {}
        for frame in batch:
            self._keys.setdefault(frame.part, set()).add(frame.key)
        self._read: dict[int, dict[str, tuple[Mask, ...]]] = {}

    def of(self, frame: Frame) -> tuple[Mask, ...]:
        if frame.part not in self._read:
            keys = self._keys[frame.part]
            self._read[frame.part] = read_some_masks(self._paths[frame.part], keys, self._min_score)
        return self._read[frame.part].pop(frame.key, ())


def _asked(options: TrackOptions, state: Mapping[str, Any]) -> dict[str, Any]:
    """The options that decide about tracks, which must be those of `state`, if there is one."""
    asked: dict[str, Any] = asdict(options.rules) | {
        "strong_score": options.min_score,
        "time_pattern": options.time_pattern,
        "time_column": options.time_column,
    }
    if state and options.time_pattern is None:  # the names were looked at by the first pass
        asked["time_pattern"] = state["time_pattern"]
    return asked


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "not given"
    return f"{value:g}s" if name == "max_gap" else f"{value}"
