"""What --skip-static and camera health make of rain, snow, fog, night, glare and compression.

    segcli predict FOOTAGE --out all.parquet --every 10f
    python -m scripts.studies.weather FOOTAGE all.parquet

No footage of weather is at hand, so weather is drawn on the frames. For each kind: the share of
frames that are skipped, and the objects of skipped frames that the repeated one lacks, by the masks
that the output has of the clear frames. Then the frames are taken for stills 30 seconds apart, with
weather in the middle third, and the events of camera health are counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scripts.studies.static_frames import by_clip, lacking, skipped, total
from segcli.images.look import Look, look_at
from segcli.stats.health import Views, events_of
from segcli.store import MinScores, min_scores, read_settings
from segcli.store.image_masks import ImageMasks, read_image_masks
from segcli.video.frames import read_frames

STEP_S = 30.0
Picture = NDArray[np.float32]
Weather = Callable[[Picture, int, np.random.Generator], Picture]
"""weather(picture (h, w, 3) of 0 to 255, number of the frame, generator) -> picture."""


def clear(picture: Picture, number: int, rng: np.random.Generator) -> Picture:
    return picture


def rain(picture: Picture, number: int, rng: np.random.Generator) -> Picture:
    """400 slanted streaks of 15 to 40 px, and a little less contrast."""
    height, width = picture.shape[:2]
    made = 0.85 * picture + 20
    for _ in range(400):
        length = int(rng.integers(15, 40))
        along = np.arange(length)
        rows = (int(rng.integers(height)) + along) % height
        columns = (int(rng.integers(width)) + along // 5) % width
        made[rows, columns] = 0.6 * made[rows, columns] + 0.4 * 220
    return made


def snow(picture: Picture, number: int, rng: np.random.Generator) -> Picture:
    """300 flakes of 1 to 4 px radius, and some twenty near ones of up to 12 px."""
    height, width = picture.shape[:2]
    made = 0.9 * picture + 20
    for radius in (*rng.integers(1, 5, 300), *rng.integers(6, 13, 20)):
        row, column = int(rng.integers(height)), int(rng.integers(width))
        top, left = max(0, row - radius), max(0, column - radius)
        part = made[top : row + radius + 1, left : column + radius + 1]
        y, x = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        inside = (y - row) ** 2 + (x - column) ** 2 <= radius**2
        part[inside] = 0.3 * part[inside] + 0.7 * 235
    return made


def drops(picture: Picture, number: int, rng: np.random.Generator) -> Picture:
    """40 drops on the lens that stay, each a blurred disc."""
    fixed = np.random.default_rng(1)
    made = picture.copy()
    for radius in fixed.integers(8, 25, 40):
        top, left = (int(fixed.integers(n - 2 * radius)) for n in picture.shape[:2])
        part = made[top : top + 2 * radius, left : left + 2 * radius]
        y, x = np.ogrid[: 2 * radius, : 2 * radius]
        inside = (y - radius) ** 2 + (x - radius) ** 2 <= radius**2
        part[inside] = 0.3 * part[inside] + 0.7 * part.mean((0, 1))
    return made


def fog(share: float) -> Weather:
    """Drifting banks: the density varies over the picture and with time by a fifth."""

    def made(picture: Picture, number: int, rng: np.random.Generator) -> Picture:
        columns = np.arange(picture.shape[1]) / picture.shape[1]
        waves = 1 + 0.2 * np.sin(6 * columns + number / 20)
        density = np.minimum(share * waves, 1)[None, :, None].astype(np.float32)
        return picture + (190 - picture) * density

    return made


def night(picture: Picture, number: int, rng: np.random.Generator) -> Picture:
    """An eighth of the light, and the noise of a sensor at high gain."""
    return picture / 8 + rng.normal(4, 6, picture.shape).astype(np.float32)


def infrared(picture: Picture, number: int, rng: np.random.Generator) -> Picture:
    """Grey, lit from the camera: dark towards the edges."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = np.clip(1.1 - 0.6 * (x**2 + y**2), 0.1, 1)[..., None]
    grey = picture.mean(2, keepdims=True) * light
    return np.repeat(grey + rng.normal(0, 4, grey.shape), 3, 2).astype(np.float32)


def glare(picture: Picture, number: int, rng: np.random.Generator) -> Picture:
    """A low sun that crosses the picture in 200 frames."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    at = (number / 200 % 1) * width
    halo = np.exp(-((y - height / 4) ** 2 + (x - at) ** 2) / (2 * (width / 6) ** 2))
    return (picture + 160 * halo[..., None] + 15).astype(np.float32)


def clouds(picture: Picture, number: int, rng: np.random.Generator) -> Picture:
    """Shadows of clouds: each side of the picture darker by up to 40 % in turn."""
    columns = np.arange(picture.shape[1]) / picture.shape[1]
    shade = 0.8 + 0.2 * np.sin(3 * columns + number / 8)
    return (picture * shade[None, :, None]).astype(np.float32)


def wind(picture: Picture, number: int, rng: np.random.Generator) -> Picture:
    """The pole shakes: the picture moves by up to 2 px."""
    down, right = rng.integers(-2, 3, 2)
    return np.roll(picture, (int(down), int(right)), (0, 1))


def compressed(picture: Picture, number: int, rng: np.random.Generator) -> Picture:
    return as_jpeg(picture, 8)


WEATHERS: dict[str, Weather] = {
    "clear": clear,
    "rain": rain,
    "snow": snow,
    "drops on the lens": drops,
    "thin fog (40 %)": fog(0.4),
    "dense fog (75 %)": fog(0.75),
    "night": night,
    "infrared": infrared,
    "low sun": glare,
    "shadows of clouds": clouds,
    "wind, 2 px": wind,
    "JPEG of quality 8": compressed,
}


def as_jpeg(picture: Picture, quality: int) -> Picture:
    file = BytesIO()
    Image.fromarray(as_pixels(picture)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), np.float32)


def as_pixels(picture: Picture) -> NDArray[np.uint8]:
    return np.clip(picture, 0, 255).astype(np.uint8)


def main(footage: Path, out: Path) -> None:
    least = min_scores(read_settings(out), None)
    images = read_image_masks(out, min_score=MinScores(0.3))
    for clip, frames in by_clip(images):
        looks = looks_of(footage / clip, frames)
        print(f"{clip}: {len(frames)} frames, {total(frames, least)} objects")
        for name, found in looks.items():
            pairs = list(skipped(found, 4.0))
            missed = sum(lacking(frames[i], frames[j], least) for i, j in pairs)
            extra = sum(lacking(frames[j], frames[i], least) for i, j in pairs)
            share = len(pairs) / len(frames)
            events = dict(Counter(events_in(looks["clear"], found)))
            print(f"  {name:<18} {share:5.1%}  missed {missed} extra {extra}  health: {events}")


def looks_of(path: Path, frames: list[ImageMasks]) -> dict[str, list[Look]]:
    """How the frames look in each weather, as JPEG of quality 70."""
    found: dict[str, list[Look]] = {name: [] for name in WEATHERS}
    generators = {name: np.random.default_rng(5) for name in WEATHERS}
    for number, frame in enumerate(read_frames(str(path), [image.frame or 0 for image in frames])):
        assert frame.pixels is not None
        for name, weather in WEATHERS.items():
            picture = weather(frame.pixels.astype(np.float32), number, generators[name])
            found[name].append(look_at(as_pixels(as_jpeg(picture, 70))))
    return found


def events_in(before: list[Look], during: list[Look]) -> Iterator[str]:
    """The kinds of the events when the weather lasts for the middle third."""
    third = len(before) // 3
    looks = [*before[:third], *during[third : 2 * third], *before[2 * third :]]
    views = [look.view for look in looks]
    seconds = STEP_S * np.arange(len(views))
    columns = [
        np.array([getattr(v, name) for v in views]) for name in ("light", "contrast", "detail")
    ]
    hashes = np.array([view.hash for view in views], np.int64).view(np.uint64)
    for event in events_of("camera", Views(seconds, *columns, hashes)):
        yield event.kind


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
