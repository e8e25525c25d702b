"""The events of a run, which the command line shows and a caller can collect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Loading:
    """A model is being loaded, which takes some seconds."""

    model: str
    weights: str


@dataclass(frozen=True, slots=True)
class Started:
    """The model is loaded, and the first image is about to be read.

    `in_output` images have rows in the output already, whether this source lists them or not.
    """

    source: str
    out: str
    model: str
    weights: str
    device: str
    precision: str
    runtime: str
    in_output: int


@dataclass(frozen=True, slots=True)
class Progress:
    """After each batch: counts of this run so far. `total` and `eta_s` are None until counted."""

    images: int
    masks: int
    failed: int
    seconds: float
    images_per_s: float
    total: int | None
    eta_s: float | None


@dataclass(frozen=True, slots=True)
class Committed:
    """A part has been committed; its images will not be processed again."""

    part: str
    images: int


@dataclass(frozen=True, slots=True)
class ImageFailed:
    """An image of the part that was just committed has a failed row."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """A notice that is not an error, e.g. on a smaller batch or a lost worker."""

    message: str


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended. `failed` counts this run's failed images, `first_failures` (key, reason);
    `static` those that were not processed because they repeat another frame.

    `earlier` images already had rows and were skipped; `earlier_failed` of them are failed rows.
    `redone` of the run's `images` had rows, which were replaced, because the images had changed or
    failed images were retried. `warnings` counts this run's images by the kind of warning.
    `planned` is set by a dry run: the number of images to process. Masks are kept from `min_score`
    on; viz, stats, report and export show them from the model's `default_score` on. `missing`
    images have rows of this source but no longer a file; None: unknown, because the run used only a
    part of its source. The rows of `pruned` images without a file have been removed.
    `is_out_of_time`: `max_time` was over, and images may be left for the next run. `categories`
    counts masks from the default score on. `lag_mean_s` and `lag_max_s` are the ages of the files
    of this run's images when they were committed; None without any. `unpartitioned` images of this
    run are in a partition without a value, because their names do not state it.
    """

    out: str
    images: int = 0
    masks: int = 0
    failed: int = 0
    first_failures: tuple[tuple[str, str], ...] = ()
    earlier: int = 0
    earlier_failed: int = 0
    redone: int = 0
    repeated: int = 0
    warnings: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    images_per_s: float = 0.0
    planned: int | None = None
    min_score: float | None = None
    default_score: float | None = None
    scores_by_class: bool = False  # each category has a default score of its own
    missing: int | None = None
    pruned: int = 0
    is_out_of_time: bool = False
    static: int = 0
    categories: Mapping[str, int] = field(default_factory=dict)
    lag_mean_s: float | None = None
    lag_max_s: float | None = None
    unpartitioned: int = 0


Event = Loading | Started | Progress | Committed | ImageFailed | Note | Summary
Report = Callable[[Event], None]
