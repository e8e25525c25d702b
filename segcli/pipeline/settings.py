"""The settings that a run writes into every part, with which the next run compares its own."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from segcli import __version__, keypoints
from segcli.categories import known_name
from segcli.cloud.urls import shown
from segcli.errors import UsageError
from segcli.images import CONVERSIONS
from segcli.images.tiles import Slicing, slicing_of
from segcli.keypoints import Skeleton
from segcli.models import catalogue
from segcli.models.registry import weights_facts
from segcli.pipeline.options import PredictOptions
from segcli.pipeline.refinement import Refinement
from segcli.pipeline.stages.prefetch import DECODE
from segcli.pipeline.stages.static import StaticRule
from segcli.sources import Source
from segcli.store import Settings
from segcli.suggest import nearest
from segcli.types import ModelInfo
from segcli.zones import ZONES_FILE, Zones, read_zones

RESULTS_VERSION = 2
"""Increased whenever the same image, weights and options give other rows than before."""

JOINING_VERSION = 2
"""The same for runs with `slice`, where only the joining of tiles has changed."""


@dataclass(frozen=True, slots=True)
class Described:
    """A model as its weights' header describes it; `labels` None: all of them; `slicing` None:
    the model sees whole images only. `static` None: every frame is processed."""

    info: ModelInfo
    weights: Path
    sha256: str
    labels: frozenset[int] | None
    refinement: Refinement = Refinement()
    slicing: Slicing | None = None
    static: StaticRule | None = None
    zones: Zones | None = None

    @property
    def model(self) -> str:
        return f"{self.info.family}/{self.info.variant}"

    def facts(self) -> dict[str, Any]:
        """What else decides the rows: only what is set."""
        facts = self.refinement.facts(self.info.categories)
        if self.slicing is not None:
            facts["slice"] = {**asdict(self.slicing), "joining": JOINING_VERSION}
        if self.static is not None:
            facts["static"] = self.static.facts()
        if self.zones is not None:
            facts["zones"] = self.zones.facts()
        return facts


def describe(options: PredictOptions) -> Described:
    """The model of the run; imports no torch. Raises UsageError."""
    info, path, sha256 = weights_facts(options.model, options.weights)
    labels = _labels(options.categories, info)
    refinement = _refinement(options, info, labels)
    static = StaticRule(options.static_threshold, options.static_age)
    if not options.skip_static:
        for name in ("static_threshold", "static_age"):
            if getattr(options, name) != PredictOptions.__dataclass_fields__[name].default:
                raise UsageError(f"`{name}` needs `skip_static`, without which it has no effect")
    return Described(
        info,
        path,
        sha256,
        labels,
        refinement,
        slicing_of(options.slice, info),
        static if options.skip_static else None,
        None if options.zones is None else read_zones(options.zones),
    )


def _refinement(
    options: PredictOptions, info: ModelInfo, labels: frozenset[int] | None
) -> Refinement:
    scores = {}
    for name, score in options.class_scores:
        label = label_of(name, info, argument="class_scores")
        if labels is not None and label not in labels:
            raise UsageError(f"`class_scores` has {name!r}, which `categories` leaves out")
        scores[label] = score
    return Refinement(options.tta == "flip", options.merge_class_agnostic, options.min_area, scores)


def _labels(names: Sequence[str] | None, info: ModelInfo) -> frozenset[int] | None:
    if names is None:
        return None
    if not names:
        raise UsageError("`categories` is empty; expected names of categories")
    return frozenset(label_of(name, info, argument="categories") for name in names)


def label_of(name: str, info: ModelInfo, *, argument: str) -> int:
    """The label of a category by its name, or by that of another data set.

    Raises UsageError, which names `argument` and the models that have the category.
    """
    known = known_name(name, info.categories)
    if known is not None:
        return info.categories.index(known)
    rows = catalogue.describe()["models"]
    having = [row["model"] for row in rows if known_name(name, row["categories"]) is not None]
    if having:
        advice = f"; {having[0]} has it (`segcli models {having[0]}`)"
    else:
        owners = {each: row["model"] for row in reversed(rows) for each in row["categories"]}
        near = nearest(name, info.categories) or nearest(name, owners)
        advice = ", and no other model has it"
        if near is not None:
            where = "" if near in info.categories else f" ({owners[near]} has it)"
            advice = f"; did you mean {near!r}{where}?"
    raise UsageError(
        f"`{argument}`: no {name!r} in {info.family}/{info.variant} "
        f"({', '.join(info.categories)}){advice}"
    )


def run_settings(
    options: PredictOptions,
    described: Described,
    source: Source,
    precision: str,
    runtime: str = "torch",
    *,
    device: str,
) -> Settings:
    """The settings of a run; `precision` and `runtime` as resolved. What is compared decides the
    rows."""
    info, labels = described.info, described.labels
    compared: dict[str, Any] = {
        "family": info.family,
        "variant": info.variant,
        "weights_sha256": described.sha256,
        "min_score": options.min_score,
        "max_masks": options.max_masks,
        "categories": None if labels is None else [info.categories[i] for i in sorted(labels)],
        "precision": precision,
        "decode": DECODE,
        "resize": asdict(info.resize),
        "source_root": source.root,
        "results_version": RESULTS_VERSION,
    }
    # Only where they are used, so that outputs from before these options can be resumed.
    if runtime != "torch":
        compared["runtime"] = runtime
    if options.stream:
        compared["stream"] = options.stream
    if options.partitions is not None:
        compared |= options.partitions.facts()
    compared |= described.facts()
    prefix = next(iter(source.roots), options.key_prefix)  # NAME=PATH has one of its own
    several = source.roots if len(source.roots) > 1 else {}
    recorded = _recorded(options, described, device)
    return Settings(compared, recorded, prefix, options.shard, several)


def _recorded(options: PredictOptions, described: Described, device: str) -> dict[str, Any]:
    """What people may want to know, and what does not have to stay the same."""
    info = described.info
    recorded: dict[str, Any] = {
        "every": options.every,
        "command": _command(options),
        "default_score": info.default_score,
        "default_scores": _by_category(info),
        "category_names": info.categories,
        "category_ids": info.category_ids,
        "run": options.run_id,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "folder": os.getcwd(),
        "device": device,
        "max_pixels": options.max_pixels,
        "strict_images": options.strict_images,
        "conversions": CONVERSIONS,
        "weights": described.weights.name,
        "versions": _versions(),
    }
    if info.keypoints is not None:
        each = Skeleton(info.keypoints, info.skeleton or ())
        recorded["keypoints"] = keypoints.recorded(dict.fromkeys(info.categories, each))
    if described.zones is not None:
        recorded[ZONES_FILE] = described.zones.recorded()
    return recorded


def _command(options: PredictOptions) -> list[str] | None:
    """The words of the command, URLs without what could be a credential."""
    return ["segcli", *map(shown, options.command_line)] if options.command_line else None


def _by_category(info: ModelInfo) -> dict[str, float] | None:
    if info.default_scores is None:
        return None
    return dict(zip(info.categories, info.default_scores, strict=True))


def _versions() -> dict[str, str | None]:
    """Without importing anything; "pillow" or "pillow-simd", whichever is installed."""
    names = (
        "torch", "torchvision", "numpy", "pillow", "pillow-simd", "pyarrow",
        "simplejpeg", "imagecodecs", "tifffile", "pi-heif", "obstore", "openvino",
    )  # fmt: skip
    found = {name: _version(name) for name in names}
    ours = {"python": platform.python_version(), "segcli": __version__}
    return {**ours, **{k: v for k, v in found.items() if v}}


@cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
