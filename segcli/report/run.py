"""`segcli report`: statistics, plots, failures and a gallery in one file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segcli import store
from segcli.errors import UsageError
from segcli.files import write_bytes
from segcli.keypoints import skeletons_of
from segcli.machine import cores
from segcli.report import charts, gallery
from segcli.report.page import render
from segcli.stats import Statistics, StatsOptions
from segcli.stats.health import Event, camera_events
from segcli.stats.statistics import measured, prepared, score_of, time_pattern_hint
from segcli.store import MinScores
from segcli.store.query import Rows
from segcli.store.repeated import Static
from segcli.viz import MissingFile, Wanted, find, images_of
from segcli.viz.label import printable
from segcli.viz.save import in_order
from segcli.zones import zones_of_output

Report = Callable[[str], None]
_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """The arguments of `report`; `gallery` 0: without pictures, and then no images are needed."""

    masks: Path
    out: Path
    images: str | None = None
    gallery: int = 200
    min_score: float | None = None
    where: str | None = None
    key: str | None = None
    where_image: str | None = None
    seed: int = 0
    evaluation: Path | None = None
    time_pattern: str | None = None
    time_column: str | None = None
    zones: Path | None = None
    title: str | None = None
    static: Static = "repeat"
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.gallery < 0:
            raise UsageError(f"--gallery {self.gallery}: expected a whole number, 0 for none")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers {self.workers}: expected a whole number of at least 1")


@dataclass(frozen=True, slots=True)
class Written:
    """`skipped` are (key, reason), `missing` of them only for want of their file; `size` is of the
    page, bytes."""

    cards: int
    skipped: tuple[tuple[str, str], ...]
    size: int
    missing: int = 0


def write_report(options: ReportOptions, *, report: Report) -> Written:
    """Raises UsageError and OutputError; `report` hears each sentence worth telling."""
    evaluation = None if options.evaluation is None else read_evaluation(options.evaluation)
    asked = StatsOptions(
        masks=options.masks,
        min_score=options.min_score,
        where=options.where,
        key=options.key,
        where_image=options.where_image,
        time_pattern=options.time_pattern,
        time_column=options.time_column,
        static=options.static,
        zones=options.zones,
    )
    min_score = score_of(asked)
    with prepared(asked, min_score) as rows:
        found = measured(asked, min_score, rows)
        lines = _series(rows, found)
        events = _events(rows, found, options.masks)
        hint = None if lines[0] else time_pattern_hint(found.run, rows, clock=False)
    if options.min_score is None:
        report(store.default_sentence(store.read_settings(options.masks)))
    for sentence in [*found.notes, *([] if hint is None else [hint])]:
        report(sentence)
    cards, skipped = _gallery(options, found.min_score, report)
    page = render(
        _values(options, found, lines, events, cards, evaluation),
        {row["category_id"] for row in found.classes}
        | {number for _, number, _ in (lines[1].lines if lines[1] else ())}
        | {s.category_id for c in cards for s in c.shapes},
    )
    data = page.encode("utf-8", "replace")
    write_bytes(options.out, data)
    missing = sum(isinstance(error, MissingFile) for _, error in skipped)
    reasons = tuple((key, str(error)) for key, error in skipped)
    return Written(len(cards), reasons, len(data), missing)


Lines = tuple[charts.Series | None, charts.Series | None]
"""Over time, by class and by zone."""


def _has_times(rows: Rows, found: Statistics) -> bool:
    """Time means something in footage, or where it is not that of mere files."""
    ((frames,),) = rows.tuples("SELECT count(frame) FROM rows")
    return bool(frames) or "files" not in found.run["time_from"]


def _events(rows: Rows, found: Statistics, masks: Path) -> list[Event] | None:
    """None where the images are not of cameras that watch something."""
    is_footage = "static" in store.read_settings(masks) or _has_times(rows, found)
    return camera_events(rows) if is_footage else None


def _series(rows: Rows, found: Statistics) -> Lines:
    if not _has_times(rows, found):
        return None, None
    return charts.series(rows, found), charts.zone_series(rows, found)


def _gallery(
    options: ReportOptions, min_score: MinScores, report: Report
) -> tuple[list[gallery.Card], list[tuple[str, Exception]]]:
    if not options.gallery:
        return [], []
    roots = store.read_roots(options.masks)
    images = images_of(options.images, roots)
    # Weaker masks come along for the slider, which begins where the statistics do.
    wanted = Wanted(
        min_score=MinScores(floor_of(min_score)),
        where=options.where,
        key=options.key,
        where_image=options.where_image,
        sample=options.gallery,
        seed=options.seed,
        zones=None if options.zones is None else zones_of_output(options.masks, options.zones),
    )
    with Rows(store.part_paths(options.masks), static=options.static) as rows:
        chosen = sorted(find(rows, wanted), key=lambda image: in_order(image.key))
    cards: list[gallery.Card] = []
    skipped: list[tuple[str, Exception]] = []
    workers = options.workers or len(cores())
    skeletons = skeletons_of(store.read_settings(options.masks))
    for card, key, error in gallery.cards(chosen, images, workers=workers, skeletons=skeletons):
        if card is not None:
            cards.append(card)
        elif error is not None:
            skipped.append((key, error))
            if len(skipped) <= _NAMED:
                report(f"skipped {printable(key)}: {error}")
    return cards, skipped


def floor_of(min_score: MinScores) -> float:
    """The smallest score that the slider reaches."""
    lowest = min_score.lowest
    return min(lowest, max(0.05, lowest / 2))


def read_evaluation(path: Path) -> dict[str, Any]:
    """What `segcli eval --json` wrote. Raises UsageError."""
    try:
        content = json.loads(path.read_bytes())
        metrics = {str(k): v for k, v in content["metrics"].items()}
        classes = [dict(one) for one in content["categories"]]
    except OSError as error:
        raise UsageError(f"--eval {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"--eval {path} is no evaluation; expected what segcli eval --json FILE writes"
        ) from None
    known = ("name", "ap", "ap50", "ap75", "ar", "objects", "detections")
    return {
        "gt": content.get("gt"),
        "images": content.get("images"),
        "metrics": metrics,
        "classes": [{name: one.get(name) for name in known} for one in classes],
    }


def _values(
    options: ReportOptions,
    found: Statistics,
    lines: Lines,
    events: list[Event] | None,
    cards: list[gallery.Card],
    evaluation: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What the template shows."""
    counts: dict[int, tuple[str, int]] = {}
    for card in cards:
        for shape in card.shapes:
            name, n = counts.get(shape.category_id, (shape.category, 0))
            counts[shape.category_id] = (name, n + 1)
    shown = sorted(((n, i, name) for i, (name, n) in counts.items()), reverse=True)
    return {
        "title": options.title or options.masks.name,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "found": found,
        "masks": sum(row["masks"] for row in found.classes),
        "settings": _settings(options.masks),
        "scores": charts.histograms(found, "score_bin"),
        "areas": charts.histograms(found, "area_bin"),
        "heat": charts.heat_maps(found),
        "pairs": charts.pairs(found),
        "series": lines[0],
        "zone_series": lines[1],
        "events": events,
        "is_measured": "static" in store.read_settings(options.masks),
        "evaluation": evaluation,
        "cards": cards,
        "classes": [{"name": name, "id": i, "n": n} for n, i, name in shown],
        "floor": floor_of(found.min_score),
        "chart": {"width": charts.WIDTH, "height": charts.HEIGHT},
    }


def _settings(masks: Path) -> list[tuple[str, str]]:
    """What ran, with what, when: (name, text)."""
    settings = store.read_settings(masks)
    command = settings.get("command")
    versions = settings.get("versions") or {}
    told = {
        "command": shlex.join(command) if isinstance(command, list) else command,
        "started": settings.get("started"),
        "images from": settings.get("source_root"),
        "model": "/".join(str(settings[n]) for n in ("family", "variant") if settings.get(n)),
        "weights": settings.get("weights"),
        "weights, SHA-256": settings.get("weights_sha256"),
        "device": settings.get("device"),
        "precision": settings.get("precision"),
        "scores kept from": settings.get("min_score"),
        "zones": (settings.get("zones_file") or {}).get("path"),
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }
    return [(name, str(value)) for name, value in told.items() if value not in (None, "")]
