"""`segcli viz`: draw the images of an output with a few threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from segcli import store
from segcli.categories import known_name
from segcli.errors import UsageError
from segcli.files import write_bytes
from segcli.keypoints import skeletons_of
from segcli.keys import path_from_key
from segcli.machine import cores
from segcli.store.directory import refuse_among_parts
from segcli.store.image_masks import ImageMasks
from segcli.store.pruned import emptiness
from segcli.store.query import Rows
from segcli.store.repeated import Static
from segcli.viz.images import Images, images_of
from segcli.viz.painter import Job, Painter
from segcli.viz.picture import Style
from segcli.viz.save import encode, in_order, video_place
from segcli.viz.select import Wanted, find
from segcli.viz.sheet import LIMIT, Thumbnail, sheet
from segcli.viz.truth import read_truth
from segcli.viz.videos import draw_video
from segcli.viz.worst import counted_categories, worst_keys
from segcli.zones import ZonePass, zones_of_output

Report = Callable[[str], None]
_SHEETS = {".jpg": "jpg", ".jpeg": "jpg", ".png": "png", ".webp": "webp"}
_NAMED = 20
"""The number of skipped images that are reported individually; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VizOptions:
    """The arguments of `viz`; None means: the default of the run or of the mode.

    `min_score` None: the model's default scores, and every mask for the mode "blur". `video` is a
    file for one video, a folder for several. `worst` is an evaluation
    (eval --json) whose worst images are drawn. `static` "repeat" draws static images with the masks
    that they repeat, "ignore" leaves them out. `zones` is a file of zones: masks are compared
    with them, and they are drawn. By default, the zones of the run are drawn, but not on blurred
    pictures.
    """

    masks: Path
    images: str | None = None
    out: Path | None = None
    where: str | None = None
    key: str | None = None
    where_image: str | None = None
    categories: tuple[str, ...] = ()
    min_score: float | None = None
    sample: int | None = None
    seed: int = 0
    worst: Path | None = None
    gt: Path | None = None
    zones: Path | None = None
    beside: bool = False
    style: Style = field(default_factory=Style)
    format: str | None = None
    sheet: Path | None = None
    video: Path | None = None
    static: Static = "repeat"
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.out is None and self.sheet is None and self.video is None:
            raise UsageError("nothing to write: give --out FOLDER, --sheet FILE or --video FILE")
        if self.style.mode == "cutout" and (self.format == "jpg" or self.out is None):
            raise UsageError("--mode cutout needs --out and transparency: --format png or webp")
        if self.style.mode == "cutout" and (self.gt is not None or self.video is not None):
            raise UsageError("--mode cutout makes files of objects: not with --gt or --video")
        numbers = {"sample": self.sample, "workers": self.workers, "max-side": self.style.max_side}
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise UsageError(f"--{name} {value}: expected a whole number of at least 1")
        if self.sheet is not None and self.sheet.suffix.lower() not in _SHEETS:
            raise UsageError(f"--sheet {self.sheet}: name it {', '.join(_SHEETS)}")
        if self.video is not None and (
            self.video.suffix.lower() not in ("", ".mp4") or self.video == Path("-")
        ):
            raise UsageError(f"--video {self.video}: name a file *.mp4, or a folder without a dot")
        if self.beside and self.gt is None:
            raise UsageError("--beside shows the ground truth next to the picture: give --gt FILE")

    @property
    def kind(self) -> str:
        return self.format or ("png" if self.style.mode == "cutout" else "jpg")


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was done; `skipped` are (key, reason), `missing` of them only for want of their file."""

    pictures: int
    masks: int
    skipped: tuple[tuple[str, str], ...]
    missing: int = 0


def visualise(options: VizOptions, *, report: Report) -> Drawn:
    """Draw what is asked for; `report` hears each sentence worth telling.

    Raises UsageError, also when nothing fits what was asked for, and OutputError.
    """
    roots = store.read_roots(options.masks)
    lowest = options.min_score
    if lowest is None and options.style.mode == "blur":
        lowest = 0.0  # somebody who was found with a low score must not stay recognisable
        report("--mode blur uses masks of every score; --min-score leaves out the weaker ones")
    settings = store.read_settings(options.masks)
    names = settings["category_names"]
    meant = tuple(known_name(name, names) or name for name in options.categories)
    style = replace(options.style, skeletons=skeletons_of(settings))
    options = replace(options, categories=meant, style=style)
    min_score = store.min_scores(settings, lowest)
    if lowest is None:
        report(store.default_sentence(settings))
    images = images_of(options.images, roots)
    _check_places(options, images)
    if (
        options.out is not None
        and any(map(os.path.isdir, images.roots))
        and images.keys_of(options.out)
    ):
        report(f"{options.out} is among the images: a later run would read its pictures, too")
    keys = None if options.worst is None else worst_keys(options.worst)
    zones = _zones(options)
    wanted = Wanted(
        min_score=min_score,
        where=options.where,
        key=options.key,
        where_image=options.where_image,
        keys=keys,
        categories=options.categories,
        sample=options.sample,
        seed=options.seed,
        zones=None if options.zones is None else zones,
    )
    with Rows(store.part_paths(options.masks), static=options.static) as rows:
        _refuse_image(rows, images, options.sheet)
        drawing = _Drawing(options, images, zones, report)
        drawing.all(find(rows, wanted))
    drawing.finish(keys)
    return Drawn(drawing.pictures, drawing.masks, tuple(drawing.skipped), drawing.missing)


def _zones(options: VizOptions) -> ZonePass | None:
    if options.zones is None and options.style.mode == "blur":
        return None  # such pictures are for others
    return zones_of_output(options.masks, options.zones)


class _Drawing:
    """The state of one call of `visualise`."""

    def __init__(
        self, options: VizOptions, images: Images, zones: ZonePass | None, report: Report
    ) -> None:
        truth = None
        if options.gt is not None:
            counted = None if options.worst is None else counted_categories(options.worst)
            truth = read_truth(options.gt, options.masks, only=options.categories, counted=counted)
        self.pictures = self.masks = self.missing = 0
        self.skipped: list[tuple[str, str]] = []
        self._options, self._report, self._images = options, report, images
        self._thumbnails: dict[str, Thumbnail] = {}
        self._videos: dict[str, list[ImageMasks]] = {}
        self._painter = Painter(
            images=images,
            style=options.style,
            truth=truth,
            zones=zones,
            beside=options.beside,
            out=options.out,
            kind=options.kind,
        )

    def all(self, found: Iterator[ImageMasks]) -> None:
        """Stills at once, in order, a few ahead of the slowest; videos when all are known."""
        workers = self._options.workers or len(cores())
        ahead: deque[tuple[ImageMasks, Future[Job]]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            for image in found:
                if image.frame is not None:
                    self._videos.setdefault(path_from_key(image.key), []).append(image)
                    continue
                ahead.append((image, pool.submit(self._painter.paint, image, self._small)))
                if len(ahead) > 2 * workers:
                    self._collect(*ahead.popleft())
            while ahead:
                self._collect(*ahead.popleft())

    @property
    def _small(self) -> bool:
        return self._options.sheet is not None and len(self._thumbnails) < LIMIT

    def _collect(self, image: ImageMasks, future: Future[Job]) -> None:
        self.take(image, future.result())

    def take(self, image: ImageMasks, job: Job) -> None:
        """Count a picture, or name why there is none."""
        if job.error is not None:
            self.skipped.append((image.key, job.error))
            self.missing += job.is_missing
            if len(self.skipped) <= _NAMED:
                self._report(f"skipped {image.key}: {job.error}")
            return
        self.pictures += 1
        self.masks += len(image.masks)
        if job.thumbnail is not None and self._small:
            self._thumbnails[image.key] = job.thumbnail

    def finish(self, order: tuple[str, ...] | None) -> None:
        nothing = not (self.pictures or self.skipped or self._videos)
        if nothing and (empty := emptiness(self._options.masks)) is not None:
            raise UsageError(f"nothing to draw: {empty}")
        if self._options.video is not None and not self._videos:
            raise UsageError(
                "--video: no row that was asked for is a frame of a video; stills go to --out"
            )
        for path, frames in sorted(self._videos.items()):
            target = self._video_path(path)
            ordered = sorted(frames, key=lambda f: f.frame or 0)
            for image, job in draw_video(
                ordered, self._painter, target=target, small=self._small, tell=self._report
            ):
                self.take(image, job)
        if not self.pictures and not self.skipped:
            raise UsageError(
                "no image fits what was asked for; loosen --where, --where-image, --key, "
                "--categories, --min-score"
            )
        if self._options.sheet is not None and self._thumbnails:
            self._write_sheet(self._options.sheet, order)

    def _video_path(self, path: str) -> Path | None:
        target = self._options.video
        if target is None or not target.suffix:
            return None if target is None else video_place(target, path)
        if len(self._videos) > 1:
            names = ", ".join(sorted(self._videos)[:3])
            raise UsageError(
                f"--video {target} is one file, but the frames are of {len(self._videos)} videos "
                f"({names}); choose one with --key, or give a folder"
            )
        return target

    def _write_sheet(self, path: Path, order: tuple[str, ...] | None) -> None:
        shown = self._thumbnails
        keys = (
            [key for key in order if key in shown]
            if order is not None
            else sorted(shown, key=in_order)
        )
        kind = _SHEETS[path.suffix.lower()]
        if self.pictures > LIMIT:
            self._report(f"the sheet shows the first {LIMIT} of {self.pictures}; see --sample")
        write_bytes(path, encode(sheet([shown[key] for key in keys]), kind))


def _refuse_image(rows: Rows, images: Images, sheet: Path | None) -> None:
    """Raises UsageError when the sheet would overwrite an image of the output."""
    if sheet is None or not sheet.exists():
        return
    keys = images.keys_of(sheet)
    if keys and rows.tuples("SELECT 1 FROM rows WHERE key IN $keys LIMIT 1", {"keys": keys}):
        raise UsageError(f"--sheet {sheet} is one of the images; choose another name")


def _check_places(options: VizOptions, images: Images) -> None:
    """Pictures must not overwrite the images, nor lie among the parts."""
    targets = {"--out": options.out, "--sheet": options.sheet, "--video": options.video}
    for option, target in targets.items():
        if target is None:
            continue
        if os.path.realpath(target) in images.roots:
            raise UsageError(f"{target} contains the images themselves; write to another folder")
        refuse_among_parts(target, option)
