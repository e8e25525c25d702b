"""What a video shows of tracks: where objects came from, and objects that one frame misses."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from PIL import ImageDraw

from segcli.masks import rle
from segcli.store.image_masks import ImageMasks, Mask
from segcli.viz.label import font, text_size
from segcli.viz.palette import colour_of

Points = tuple[tuple[float, float], ...]

_TRAIL = 3.0  # s that a trail goes back
_TRAIL_FRAMES = 30  # the same where frames have no times
_INK, _PLATE = (255, 255, 255), (28, 28, 30)


@dataclass(frozen=True, slots=True)
class Moving:
    """What a frame shows of its video. `trails`: track -> the middle of the lower side of its box
    in the frames before, px; `time` is written into a corner."""

    trails: Mapping[int, Points] = field(default_factory=dict)
    time: str | None = None


def moving(frames: Sequence[ImageMasks]) -> Iterator[Moving]:
    """One for each frame of a video, in ascending order."""
    seen: dict[int, list[tuple[float, tuple[float, float]]]] = {}
    for image in frames:
        now = image.time_s if image.time_s is not None else float(image.frame or 0)
        span = _TRAIL if image.time_s is not None else _TRAIL_FRAMES
        trails = {}
        for mask in image.masks:
            if mask.track_id is None:
                continue
            x, y, w, h = mask.box
            past = seen.setdefault(mask.track_id, [])
            past.append((now, (x + w / 2, y + h)))
            while past[0][0] < now - span:
                past.pop(0)
            trails[mask.track_id] = tuple(point for _, point in past)
        yield Moving(trails, time_text(image))


def time_text(image: ImageMasks) -> str | None:
    """When a frame was taken, else its time in the video."""
    if image.time_s is None:
        return None
    if image.taken is not None:
        # The column of a manifest may be any text, and the time of a damaged frame any number.
        with suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(image.taken) + timedelta(seconds=image.time_s)
            return moment.isoformat(" ", "milliseconds")[:-2]
    minutes, seconds = divmod(image.time_s, 60)
    return f"{int(minutes) // 60}:{int(minutes) % 60:02d}:{seconds:04.1f}"


def draw_moving(canvas: ImageDraw.ImageDraw, shown: Moving, scale: float, width: int) -> None:
    """Trails in the colours of their tracks, `width` px wide, of points times `scale`."""
    for track, points in shown.trails.items():
        if len(points) > 1:
            scaled = [(x * scale, y * scale) for x, y in points]
            canvas.line(scaled, fill=(255, 255, 255), width=width + 2, joint="curve")
            canvas.line(scaled, fill=colour_of(track), width=width, joint="curve")


def draw_time(canvas: ImageDraw.ImageDraw, text: str, picture: tuple[int, int]) -> None:
    """In the lower left corner of a picture (w, h)."""
    size = text_size(*picture)
    pad = size // 3
    right = canvas.textlength(text, font=font(size)) + 2 * pad
    top = picture[1] - size - 2 * pad
    canvas.rectangle((0, top, right, picture[1]), fill=_PLATE)
    middle = (pad, (top + picture[1]) / 2)
    canvas.text(middle, text, fill=_INK, font=font(size), anchor="lm")


def filled(frames: Sequence[ImageMasks]) -> list[ImageMasks]:
    """The frames of a video with a mask of each track in every frame between its first and its
    last one. Where a frame has none, it gets both the one before and the one after it, moved to
    where the object is then, as far as their sizes are those of the frame.
    """
    places: dict[int, list[int]] = {}
    for i, image in enumerate(frames):
        for track in {mask.track_id for mask in image.masks if mask.track_id is not None}:
            places.setdefault(track, []).append(i)
    added: dict[int, list[Mask]] = {}
    for track, known in places.items():
        for i in range(known[0], known[-1]):
            after = bisect_left(known, i)
            if known[after] != i:
                ends = [frames[known[after - 1]], frames[known[after]]]
                added.setdefault(i, []).extend(_between(frames[i], ends, track))
    return [
        replace(image, masks=(*image.masks, *added[i])) if i in added else image
        for i, image in enumerate(frames)
    ]


def _between(image: ImageMasks, ends: Sequence[ImageMasks], track: int) -> Iterator[Mask]:
    masks = [next(m for m in end.masks if m.track_id == track) for end in ends]
    (x0, y0), (x1, y1) = (_centre(mask) for mask in masks)
    share = _share(image, ends)
    x, y = x0 + (x1 - x0) * share, y0 + (y1 - y0) * share
    for end, mask in zip(ends, masks, strict=True):
        if end.size == image.size:
            rle.check(mask.rle, *image.size)
            there = _centre(mask)
            counts = rle.moved(mask.rle, image.size, x - there[0], y - there[1])
            yield replace(mask, rle=counts, box=rle.to_box(counts, *image.size), score=None)


def _share(image: ImageMasks, ends: Sequence[ImageMasks]) -> float:
    """How much of the way from the first to the second end is behind, 0..1."""
    first, now, last = (one.time_s for one in (ends[0], image, ends[1]))
    if first is None or now is None or last is None or last <= first:
        first, now, last = (float(one.frame or 0) for one in (ends[0], image, ends[1]))
    return min(1.0, max(0.0, (now - first) / (last - first)))


def _centre(mask: Mask) -> tuple[float, float]:
    x, y, w, h = mask.box
    return x + w / 2, y + h / 2
