"""Print statistics on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from segcli.cli.tables import TablePrinter
from segcli.plurals import counted

if TYPE_CHECKING:
    from segcli.stats import Drift, Statistics

_PER_IMAGE, _WITH, _SCORE, _AREA = (
    "masks\n/image",
    "images\nwith it",
    "score\nmedian",
    "area px\nmedian",
)
_OPTIONAL = (
    "KS",
    "most",
    "share\nmedian",
    "small",
    "medium",
    "border",
    "large",
    "PSI",
    _WITH,
    _SCORE,
    _AREA,
)
"""Columns that are left out if the terminal is narrow, in this order."""

_CLASS_COLUMNS = (
    ("class", "category", ""),
    (_WITH, "images_with", ",d"),
    ("masks", "masks", ",d"),
    (_PER_IMAGE, "per_image", ".3g"),
    ("most", "per_image_max", ",d"),
    (_SCORE, "score_p50", ".2f"),
    (_AREA, "area_p50", ",.0f"),
    ("share\nmedian", "share_p50", ".1%"),
    ("small", "small_share", ".0%"),
    ("medium", "medium_share", ".0%"),
    ("large", "large_share", ".0%"),
    ("border", "border_share", ".0%"),
)
_GROUP = ("group", "group", "")
_GROUP_COLUMNS = (
    _GROUP,
    ("class", "category", ""),
    ("images", "images", ",d"),
    (_WITH, "images_with", ",d"),
    ("masks", "masks", ",d"),
    (_PER_IMAGE, "per_image", ".3g"),
    (_SCORE, "score_p50", ".2f"),
    (_AREA, "area_p50", ",.0f"),
)
_COUNT_COLUMNS = (
    ("day", "day", ""),
    ("camera", "camera", ""),
    ("class", "category", ""),
    ("images", "images", ",d"),
    ("failed", "failed", ",d"),
    (_WITH, "images_with", ",d"),
    ("masks", "masks", ",d"),
)
_TRACK_COLUMNS = (
    ("tracks", "tracks", ",d"),
    ("entries", "entries", ",d"),
    ("exits", "exits", ",d"),
    ("dwell s\nmedian", "dwell_p50_s", ",.0f"),
)
"""Follow _GROUP_COLUMNS in a table by zone."""

_OBJECT_COLUMNS = (
    ("track", "track", "d"),
    ("camera", "camera", ""),
    ("class", "category", ""),
    ("first", "first", "%Y-%m-%d %H:%M:%S"),
    ("last", "last", "%Y-%m-%d %H:%M:%S"),
    ("seconds", "seconds", ",.1f"),
    ("frames", "frames", ",d"),
    (_SCORE, "score_p50", ".2f"),
    (_AREA, "area_p50", ",.0f"),
)

_DRIFT_COLUMNS = (
    ("class", "category", ""),
    (_PER_IMAGE, "per_image", ".3g"),
    (_SCORE, "score", ".2f"),
    ("PSI", "score_psi", ".2f"),
    ("KS", "score_ks", ".2f"),
    (_AREA, "area", ",.0f"),
    ("PSI", "area_psi", ".2f"),
    ("KS", "area_ks", ".2f"),
)


_RATE = "masks/image is over all images, also those without the class"


_RUN_COLUMNS = (
    ("run of", "started", ""),
    ("images", "images", ",d"),
    ("seconds", "seconds", ",.1f"),
    ("images/s", "images_per_s", ".2f"),
)


def show_runs(found: Statistics, *, wide: bool) -> None:
    """To stdout: a table of the runs that made the output."""
    printer = TablePrinter(wide=wide)
    _table(printer, _RUN_COLUMNS, found.run["runs"])
    printer.end()


def show_counts(table: list[dict[str, Any]], *, wide: bool) -> None:
    """To stdout: the counts of pruned images."""
    printer = TablePrinter(wide=wide)
    _table(printer, _COUNT_COLUMNS, table)
    printer.end()


def show(found: Statistics, drift: Drift | None, *, wide: bool) -> None:
    """Print sentences on the run and then one table to stdout."""
    printer = TablePrinter(wide=wide)
    for line in [*_run_lines(found), *_origins(found)]:
        printer.line(line)
    if drift is not None:
        before = drift.before
        printer.line(f"compared with {before.masks}: {counted(before.run['done'], 'image')} done")
        _drift(printer, drift)
        printer.line(f"before → now; {_RATE}", style="dim")
    elif found.by == ("track",):
        _table(printer, _OBJECT_COLUMNS, found.tracks)
        printer.line(
            f"{counted(len(found.tracks), 'track')}; seconds from the first to the last frame"
        )
    elif found.groups:
        columns = _GROUP_COLUMNS + (_TRACK_COLUMNS if "tracks" in found.groups[0] else ())
        _table(printer, columns, [_named(row, found) for row in found.groups])
        printer.line(_RATE.replace("images", "images of the group"), style="dim")
    elif found.classes:
        _table(printer, _CLASS_COLUMNS, found.classes)
        printer.line(_RATE, style="dim")
    printer.end()


def _run_lines(found: Statistics) -> list[str]:
    run, scores = found.run, found.min_score
    reaches = f"of score {scores} or more"
    if scores.varies:
        reaches = f"that reaches its class's default score ({scores.span})"
    lines = [
        f"{counted(run['done'], 'image')} done, {run['empty']:,} of them without a mask {reaches}; "
        f"{run['failed']:,} failed"
    ]
    if run["static"]:
        lines.append(_static_line(run))
    lines += [f"  {f['images']:,} x {f['reason']} ({f['example']})" for f in run["failures"][:5]]
    return [*lines, *speed_lines(run["runs"])]


def _static_line(run: dict[str, Any]) -> str:
    left_out = run["static_left_out"]
    line = f"{counted(run['static'], 'image')} static"
    if left_out < run["static"]:
        line += f": {run['static'] - left_out:,} count as the images that they repeat"
    return line + (f", {left_out:,} are left out" if left_out else "")


def speed_lines(runs: list[dict[str, Any]]) -> list[str]:
    """One line, however many runs there were."""
    timed = [run for run in runs if run["seconds"]]
    if len(runs) < 2:
        return [
            f"run of {r['started']}: {counted(r['images'], 'image')}, "
            f"{r['images_per_s']:.1f} per second"
            for r in timed
        ]
    images = sum(run["images"] for run in runs)
    span = f"from {runs[0]['started']} to {runs[-1]['started']}"
    line = f"{len(runs):,} runs, {span}: {counted(images, 'image')}"
    if timed:
        slowest = min(timed, key=lambda run: float(run["images_per_s"]))
        speed = sum(run["images"] for run in timed) / sum(run["seconds"] for run in timed)
        line += (
            f", {speed:.1f} per second; the slowest, of {slowest['started']}, "
            f"{slowest['images_per_s']:.1f}"
        )
    return [f"{line} (--runs lists them)"]


def _drift(printer: TablePrinter, drift: Drift) -> None:
    for sentence in drift.sentences[:_SENTENCES]:
        printer.line(f"- {sentence}")
    if len(drift.sentences) > _SENTENCES:
        more = len(drift.sentences) - _SENTENCES
        printer.line(f"- and {more} more sentences; --format json has all of them")
    columns = (_GROUP, *_DRIFT_COLUMNS) if drift.now.titles else _DRIFT_COLUMNS
    _table(printer, columns, [_named(_both(row), drift.now) for row in drift.classes])


def _named(row: dict[str, Any], found: Statistics) -> dict[str, Any]:
    """The row with the parts of its group joined in one cell."""
    return row | {"group": " / ".join(found.group_of(row))} if found.titles else row


_WHEN = ("before", "now")
_TIMED = ("hour", "hour-of-day", "day", "weekday")
_SENTENCES = 20  # on changes, at most
_ORIGINS = {
    "EXIF": "EXIF",
    "files": "the files' modification times (UTC)",
    "names": "the names (--time-pattern)",
    "folders": "the folders",
    "videos": "the videos' names",
}


def _origins(found: Statistics) -> list[str]:
    """Where times or cameras come from, if they were used for groups."""
    kinds = ["time"] if {*found.by} & {*_TIMED} else []
    lines = []
    for kind in [*kinds, *(["camera"] if "camera" in found.by else [])]:
        told = [
            f"{n:,} {'unknown' if name == 'unknown' else 'from ' + _ORIGINS.get(name, name)}"
            for name, n in found.run[f"{kind}_from"].items()
        ]
        lines += [f"{kind}s of images: {', '.join(told)}"] if told else []
    return lines


def _both(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the drift with "before → now" in one cell."""
    forms = {name: form for _, name, form in _DRIFT_COLUMNS}
    pairs = {
        name: " → ".join(_cell(row[f"{name}_{when}"], forms[name]).plain for when in _WHEN)
        for name in ("per_image", "score", "area")
    }
    return row | pairs


def _table(printer: TablePrinter, columns: Any, rows: list[dict[str, Any]]) -> None:
    printer.table(
        [title for title, _, _ in columns],
        [[_cell(row[name], form) for _, name, form in columns] for row in rows],
        optional=_OPTIONAL,
        words=[title for title, _, form in columns if not form],
    )


def _cell(value: Any, form: str) -> Text:
    if value is None:
        return Text("–")
    return Text(format(value, form) if form and not isinstance(value, str) else str(value))
