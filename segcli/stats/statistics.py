"""All statistics of an output, computed by DuckDB over the parts."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segcli import store, time_patterns
from segcli.errors import UsageError
from segcli.stats import cameras, classes, exif, gaps, groups, moments, runs, tracks, zones
from segcli.store import MinScores, min_scores
from segcli.store.image_filter import image_condition, is_about_images
from segcli.store.pruned import emptiness
from segcli.store.query import Rows
from segcli.store.repeated import Static
from segcli.zones import Zones, read_zones, recorded_zones

_OF_DAYS = ("day", "weekday")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsOptions:
    """`min_score` None: the model's default scores. `by`: see groups.parts_of.

    `where` chooses masks; `key`, a pattern, and `where_image` choose the images that all rates are
    over.
    `time_pattern` finds time and camera in the key; `time_column` is a column with the time.
    `images` is the source of the images, whose EXIF tells both. `zones` is a file of zones that
    are used instead of those of the run. `static` "repeat" counts a static image with the masks of
    the one that it repeats, "ignore" leaves it out.
    `cameras`: make a row for each camera, too, which takes time where images have views.
    `memory` is what DuckDB may use before it writes to temporary files; None: most of what there
    is, but quantiles need no more than some 16 bytes per mask.
    """

    masks: Path
    min_score: float | MinScores | None = None
    where: str | None = None
    key: str | None = None
    where_image: str | None = None
    by: str = "category"
    time_pattern: str | None = None
    time_column: str | None = None
    images: str | None = None
    zones: Path | None = None
    static: Static = "repeat"
    cameras: bool = False
    threads: int | None = None
    memory: str | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """`run` and `classes` are JSON values but for times.

    `by` are the groupings, ("category",) where there are none: then `groups` is empty. `titles` are
    the columns of `groups` that hold a group. `categories` are all that the run looked for.
    `bins`: category id -> "cell", "score_bin", "area_bin" -> bin -> masks. `together`: (id, id) ->
    images with both. `zones`: rows as in `groups` by "zone" alone, where zones are known. `tracks`:
    a row per track (`tracks.track_table`), if `by` is ("track",). `cameras`: a row per camera
    (`cameras.camera_table`), if they were asked for. `notes` are sentences on what was
    probably not meant.
    """

    masks: Path
    min_score: MinScores
    run: dict[str, Any]
    classes: list[dict[str, Any]]
    categories: tuple[str, ...] = ()
    by: tuple[str, ...] = ("category",)
    titles: tuple[str, ...] = ()
    groups: list[dict[str, Any]] = field(default_factory=list)
    bins: dict[int, dict[str, dict[int, int]]] = field(default_factory=dict)
    together: dict[tuple[int, int], int] = field(default_factory=dict)
    zones: list[dict[str, Any]] = field(default_factory=list)
    tracks: list[dict[str, Any]] = field(default_factory=list)
    cameras: list[dict[str, Any]] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def group_of(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The parts of the group of a row of `groups`; none without a grouping."""
        return tuple(row[title] for title in self.titles)

    def group_names(self) -> list[tuple[str, ...]]:
        """All groups that have images, but not gaps; without a grouping, one without parts."""
        if not self.titles:
            return [()]
        return list(dict.fromkeys(self.group_of(row) for row in self.groups if row["images"]))


def statistics(options: StatsOptions) -> Statistics:
    """Raises UsageError for a wrong condition, group or pattern."""
    min_score = score_of(options)
    with prepared(options, min_score) as rows:
        return measured(options, min_score, rows)


def measured(options: StatsOptions, min_score: MinScores, rows: Rows) -> Statistics:
    """The numbers of rows that are `prepared` with these options."""
    classes.count_per_image(rows)
    run = runs.run_table(rows) | {"runs": runs.speeds(options.masks)}
    run["gap"] = gaps.longest_gap(rows)
    table = classes.class_table(rows, run["done"])
    by = groups.parts_of(options.by, rows.columns)
    by_track = tracks.is_asked(by)
    titles: tuple[str, ...] = () if by_track or by == ("category",) else groups.titles_of(by)
    return Statistics(
        masks=options.masks,
        min_score=min_score,
        run=run,
        classes=table,
        categories=tuple(store.read_settings(options.masks)["category_names"]),
        by=by,
        titles=titles,
        groups=gaps.with_gaps(_groups(rows, titles, by_zone="zone" in by), by, titles),
        bins=classes.distributions(rows),
        together=classes.together(rows, [row["category_id"] for row in table]),
        zones=_by_zone(rows, ("zone",), "zone") if zones.are_known(rows) else [],
        tracks=tracks.track_table(rows) if by_track else [],
        cameras=cameras.camera_table(rows) if options.cameras else [],
        notes=tuple(_notes(options, run, rows)),
    )


def _groups(rows: Rows, titles: tuple[str, ...], *, by_zone: bool) -> list[dict[str, Any]]:
    if by_zone:
        return _by_zone(rows, titles, zones.GROUP)
    return classes.group_table(rows, titles) if titles else []


def _by_zone(rows: Rows, titles: tuple[str, ...], group: str) -> list[dict[str, Any]]:
    table = classes.group_table(
        rows, titles, pictures="zone_pictures", masks="zone_masks", group=group
    )
    return zones.add_passages(rows, table, titles, group)


def _notes(options: StatsOptions, run: Mapping[str, Any], rows: Rows) -> Iterator[str]:
    if not run["done"] + run["failed"] and (empty := emptiness(options.masks)) is not None:
        yield empty
        return
    filters = {"--key": options.key, "--where-image": options.where_image}
    given = " and ".join(f"{name} {text!r}" for name, text in filters.items() if text is not None)
    if given and not run["done"] + run["failed"]:
        ((key,),) = rows.tuples("SELECT min(key) FROM rows")
        yield f"no image of {options.masks} passes {given}; a key of it is {key!r}"
    if is_about_images(rows, options.where):
        yield (
            f"--where {options.where!r} leaves out masks, and all images count; --where-image "
            f"leaves out images, so that rates are over those that pass"
        )
    timed = [part for part in groups.parts_of(options.by, rows.columns) if part in groups.TIMED]
    if timed and (hint := time_pattern_hint(run, rows, clock=not {*timed} <= {*_OF_DAYS})):
        yield hint


def time_pattern_hint(run: Mapping[str, Any], rows: Rows, *, clock: bool) -> str | None:
    """A sentence where only the files' times are known and the names state better ones.

    `clock`: a date without a time of day is not enough.
    """
    known = run["time_from"].keys()
    is_asked = "names" in known or any(name.startswith("column ") for name in known)
    if is_asked or not {"files", "unknown"} & known:
        return None
    pattern = time_patterns.recognised(moments.sampled_keys(rows), clock=clock)
    if pattern is None:
        return None
    return (
        f"the names of the images look like times: add --time-pattern {shlex.quote(pattern)}; "
        f"without it, the modification times of the files count"
    )


def score_of(options: StatsOptions) -> MinScores:
    """The smallest scores that count."""
    if isinstance(options.min_score, MinScores):
        return options.min_score
    return min_scores(store.read_settings(options.masks), options.min_score)


@contextmanager
def prepared(options: StatsOptions, min_score: MinScores) -> Iterator[Rows]:
    """The rows with three views: `images` (one row each, with `moment`, `grp` and where time and
    camera are from), `pictures` (those that were done) and `chosen` (the masks that count, with
    `moment` and `grp`); and those of `zones.make_views`."""
    known = _zones(options)
    with (
        tempfile.TemporaryDirectory(prefix="segcli-stats-") as spill,
        _rows(options, Path(spill)) as rows,
    ):
        if options.where is not None:
            rows.check(options.where, "--where")
        passes = image_condition(rows, key=options.key, where_image=options.where_image)
        table = _with_exif(rows, options)
        found = moments.moments_of(
            rows.types,
            pattern=options.time_pattern,
            column=options.time_column,
            exif=options.images is not None,
        )
        columns = ("repeats", "view")  # an older output does not have them
        later = ", ".join(n if n in rows.types else f"NULL AS {n}" for n in columns)
        by = groups.parts_of(options.by, rows.columns)
        group = groups.group_sql(by, found)
        made = f"{found.time} AS moment, {found.camera} AS camera, {group} AS grp"
        rows.execute(
            f"CREATE VIEW images AS SELECT key, status, error, {later}, image, {made}, "
            f"{found.time_from} AS time_from, {found.camera_from} AS camera_from "
            f"FROM {table} WHERE (mask IS NULL OR mask = 0) AND {passes}"
        )
        if options.time_pattern is not None:
            moments.refuse_useless_pattern(options.time_pattern, options.masks, rows)
        rows.execute("CREATE VIEW pictures AS SELECT * FROM images WHERE status = 'ok'")
        condition = f"mask IS NOT NULL AND {min_score.condition()} AND {passes}"
        if options.zones is not None and known is not None:
            table = zones.placed(rows, table, known, camera=found.camera, condition=condition)
            condition += " AND zones IS NOT NULL"
        if options.where is not None:
            condition += f" AND coalesce((\n{options.where}\n), false)"
        rows.execute(f"CREATE VIEW chosen AS SELECT *, {made} FROM {table} WHERE {condition}")
        if tracks.is_asked(by):
            if options.min_score is None:  # a track goes on in masks with weak scores
                condition = condition.replace(min_score.condition(), "true", 1)
            tracks.make_view(rows, options.masks, f"SELECT *, {made} FROM {table}", condition)
        if not zones.make_views(rows, known) and "zone" in by:
            raise UsageError(
                f"--by zone: {options.masks} has no zones; give --zones FILE, or draw some with "
                f"segcli zones IMAGE"
            )
        yield rows


def _rows(options: StatsOptions, spill: Path) -> Rows:
    return Rows(
        store.part_paths(options.masks),
        static=options.static,
        threads=options.threads,
        memory=options.memory,
        spill=spill,
    )


def _with_exif(rows: Rows, options: StatsOptions) -> str:
    """SQL for the rows, with what the images' EXIF states, if it is asked for."""
    if options.images is None:
        return "rows"
    roots = store.read_roots(options.masks)
    rows.table("exif", exif.COLUMNS, exif.exif_of(options.images, roots))
    return (
        "(SELECT rows.*, exif.taken AS exif_taken, exif.camera AS exif_camera "
        "FROM rows LEFT JOIN exif USING (key))"
    )


def _zones(options: StatsOptions) -> Zones | None:
    """Those of a file, else those of the run."""
    if options.zones is not None:
        return read_zones(options.zones)
    return recorded_zones(store.read_settings(options.masks))
