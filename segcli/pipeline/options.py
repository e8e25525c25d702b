"""The options of a prediction run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from segcli.errors import UsageError
from segcli.partitions import Partitions
from segcli.time_patterns import compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """The arguments of `predict`; None means to measure, detect or use the default.

    The command line takes its defaults from here. `source` is a path or NAME=PATH, or several of
    them. `engine`: "local", or "ray" for the nodes of a
    Ray cluster. `runtime`: what computes the network, "torch" or, where it can, "openvino".
    `replicas` are worker processes for each device; with 0 this process does the work,
    on one device, and a crash of a library ends it.
    `workers` are decode threads of each. `max_memory` bytes are shared by all of them.
    `chunk_timeout`: seconds without a finished batch after which a worker counts as hung. `limit`
    counts the images that this run does, not those that an earlier run did. `categories` are names.
    `strict_images` fails those whose corrupt data would decode.
    `shard` "I/N": only the images that are this one's. `count_ahead` lists ahead of the run, so
    that progress knows early when the run will end. `run_id` names the run in the parts. `every`
    chooses the frames of videos ("1s", "5f", "keyframe"), `stream` one of their video streams, from
    0. `include` and `exclude` are patterns of keys; `newer_than` and `older_than` ages of files
    ("2h", "5m"). `time_pattern` finds the times of images and videos in their keys (see
    segcli.time_patterns). `partition_by` "date", "camera" or "date,camera": the parts are in
    folders by what keys state (segcli.partitions).
    `prune_missing` removes the rows of images whose files are gone. `class_scores`
    are names with the least scores of their categories, `min_score` that of the others; `min_area`
    is the least area of a mask, px. `tta` "flip" merges what the model finds in each image and in
    its mirror image; `merge_class_agnostic` keeps the best of masks that overlap by an IoU above
    0.5, whatever their categories. `slice` is the side of tiles into which larger images are cut,
    px, or "auto" for the model's own. `zones` is a GeoJSON file of zones (segcli.zones).
    `skip_static`: frames that look like the last processed one of their camera are not processed;
    `static_threshold` grey levels are a change, and at least one frame in `static_age` seconds is
    processed. `max_time`: seconds after which the run ends with what it has done, as Ctrl-C would
    end it, but without an error.
    """

    source: str | tuple[str, ...]
    out: Path
    model: str | None = None
    weights: str | None = None
    device: str = "auto"
    precision: str = "auto"
    runtime: str = "auto"
    engine: str = "local"
    replicas: int = 1
    workers: int | None = None
    max_memory: int | None = None
    chunk_timeout: float | None = None
    batch_size: int | None = None
    chunk_size: int | None = None
    min_score: float = 0.05
    max_masks: int = 100
    class_scores: tuple[tuple[str, float], ...] = ()
    min_area: int = 0
    tta: str = "none"
    merge_class_agnostic: bool = False
    max_pixels: int = 200_000_000
    strict_images: bool = False
    categories: tuple[str, ...] | None = None
    zones: Path | None = None
    slice: str | None = None
    skip_static: bool = False
    static_threshold: float = 4.0
    static_age: float = 300.0
    column: str | None = None
    key_prefix: str = ""
    same_source: bool = False
    retry_failed: bool = False
    limit: int | None = None
    max_time: float | None = None
    shard: str | None = None
    dry_run: bool = False
    wait: bool = False
    every: str = "1s"
    stream: int = 0
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    newer_than: str | None = None
    older_than: str | None = None
    all_folders: bool = False
    time_pattern: str | None = None
    partition_by: str | None = None
    prune_missing: bool = False
    count_ahead: bool = True
    command_line: tuple[str, ...] = ()
    run_id: str = field(default_factory=lambda: uuid4().hex[:12])

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,) if isinstance(self.source, str) else self.source

    def __post_init__(self) -> None:
        if self.time_pattern is not None:
            compiled(self.time_pattern)
        if self.partition_by is not None:
            Partitions.parse(self.partition_by, self.time_pattern)
        if not 0 <= self.min_score <= 1:
            raise UsageError(f"`min_score` {self.min_score}: expected a number from 0 to 1")
        for category, score in self.class_scores:
            if not 0 <= score <= 1:
                raise UsageError(
                    f"`class_scores` {category}={score}: expected a number from 0 to 1"
                )
        if self.min_area < 0:
            raise UsageError(f"`min_area` {self.min_area}: expected px, 0 or more")
        for name in ("workers", "batch_size", "chunk_size", "max_masks", "max_pixels", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"`{name}` {value}: expected a whole number of at least 1")
        if self.replicas < 0:
            raise UsageError(f"`replicas` {self.replicas}: expected a whole number, 0 or more")
        for name in ("chunk_timeout", "max_time"):
            if (value := getattr(self, name)) is not None and not value > 0:  # nan, too
                raise UsageError(f"`{name}` {value:g}: expected seconds, above 0")
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise UsageError(f"`{name}` {value}: expected one of {', '.join(known)}")

    @property
    def partitions(self) -> Partitions | None:
        if self.partition_by is None:
            return None
        return Partitions.parse(self.partition_by, self.time_pattern)

    @property
    def is_limited(self) -> bool:
        """Whether the run looks at a part of its source only, other shards aside."""
        return any((self.limit, self.include, self.exclude, self.newer_than, self.older_than))


VIEWS = ("none", "flip")
ENGINES = ("local", "ray")
PRECISIONS = ("auto", "float32", "bfloat16", "float16", "int8")
RUNTIMES = ("auto", "torch", "openvino")
_CHOICES = {"precision": PRECISIONS, "runtime": RUNTIMES, "engine": ENGINES, "tta": VIEWS}
