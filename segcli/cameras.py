"""The camera of an image, from its key: one rule for every command.

What states the camera takes precedence: a column of a manifest, EXIF, or a pattern for names.
Otherwise the camera is the folder of the file, without folders that are dates:

    gate/2026-04-01/0800.jpg                gate
    2026/04/01/yard/0800.mp4#frame=125      yard
    gate/2026-04.tar/0800.jpg               gate

A clip that is in no such folder is named after its camera, up to a date: gate_20260401_0800.mp4 is
of "gate". Names of digits only, and stills in no folder, are of the camera ".".
"""

from __future__ import annotations

import re

from segcli.keys import ARCHIVE_SUFFIXES, split_frame

COLUMN = "camera"
"""What a manifest calls the camera of an image; in an output src_camera."""

UNKNOWN = "."

# Python and DuckDB use the same expressions: no lookaround, no named groups.
_DATE = (
    r"(?:19|20)[0-9]{2}(?:[-_.]?(?:0[1-9]|1[0-2])(?:[-_.]?(?:0[1-9]|[12][0-9]|3[01])"
    r"(?:[-_.T ]?[0-2][0-9](?:[-_.:h]?[0-5][0-9]){0,2})?)?)?"
)
_ARCHIVE = "|".join(re.escape(suffix) for suffix in sorted(ARCHIVE_SUFFIXES, reverse=True))
_DATED_FOLDERS = rf"(?:/{_DATE}(?:/[0-9]{{2}})*(?:{_ARCHIVE})?)+/"
"""A date, or its year with its month, day and hour in folders below."""

_FROM_DATE = (
    r"[-_. ]*(?:19|20)[0-9]{2}[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12][0-9]|3[01])[^/]*$"
)
_NUMBER = r"^[-_. 0-9]*$"


def camera_of(key: str, stated: str | None = None) -> str:
    """The camera of an image; `stated` is the value of the column `camera` of its manifest."""
    if stated is not None and stated.strip():
        return stated.strip()
    own, frame = split_frame(key)
    folder, _, name = own.rpartition("/")
    camera = re.sub(_DATED_FOLDERS, "/", f"/{folder}/").strip("/")
    if camera or frame is None:
        return camera or UNKNOWN
    stem = re.sub(_FROM_DATE, "", name.rpartition(".")[0])
    return re.sub(_NUMBER, "", stem) or UNKNOWN


def camera_sql(stated: str | None = None) -> str:
    """The same in DuckDB's SQL over the columns `key` and `frame`; `stated` is SQL for the value of
    a column that may state it."""
    own = "regexp_replace(key, '#frame=[0-9]+$', '')"
    folder = (
        f"trim(regexp_replace('/' || {folder_sql()} || '/', '{_DATED_FOLDERS}', '/', 'g'), '/')"
    )
    stem = f"regexp_extract({own}, '([^/]*)[.][^./]*$', 1)"
    name = f"regexp_replace(regexp_replace({stem}, '{_FROM_DATE}', ''), '{_NUMBER}', '')"
    name = f"CASE WHEN frame IS NULL THEN '' ELSE {name} END"
    found = f"coalesce(nullif({folder}, ''), nullif({name}, ''), '{UNKNOWN}')"
    if stated is None:
        return found
    return f"coalesce(nullif(trim(CAST({stated} AS VARCHAR)), ''), {found})"


def folder_sql() -> str:
    """The folder of a row's file in its key, or ""."""
    return "regexp_extract(regexp_replace(key, '#frame=[0-9]+$', ''), '(?s)^(.*)/[^/]*$', 1)"
