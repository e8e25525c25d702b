"""Writers of formats with one file per image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from segcli.annotations.losses import Losses
from segcli.annotations.paths import beside, stamp, written_since
from segcli.annotations.selection import Selection
from segcli.errors import UsageError
from segcli.files import write_bytes
from segcli.store.image_masks import ImageMasks

SHORTENED = "{} names of files were longer than 255 bytes and were shortened"

Place = Callable[[ImageMasks, Path, Losses], None]
"""Puts an image at a path of the export, or counts why it cannot."""


def write_each(
    selection: Selection,
    out: Path,
    suffix: str,
    content: Callable[[ImageMasks, Losses], bytes],
    *,
    at: Callable[[str], str] = str,
    tracks: bool = False,
) -> Losses:
    """A file below `out` for every image, under the image's own name, or what `at` makes of it.
    `tracks`: whether the format has them.

    Raises UsageError when two images would share one (a.jpg and a.png in one folder).
    """
    tally = Losses()
    start = stamp(out)
    for image in tally.counted(selection.with_masks(), tracks=tracks):
        path = beside(out, at(image.name), suffix)
        require_own(path, image, selection, out=out, start=start, suffix=suffix, at=at)
        if not path.name.startswith(beside(out, image.name, "").name):
            tally.lost(SHORTENED)
        write_bytes(path, content(image, tally))
    return tally


def require_own(
    path: Path,
    image: ImageMasks,
    selection: Selection,
    *,
    out: Path,
    start: int,
    suffix: str = "",
    at: Callable[[str], str] = str,
) -> None:
    """Raises UsageError when another image of this export has written to `path` before.

    What was written since `start` is ours. No list of all paths is kept, for it would grow with
    the archive; who the other one is gets looked for when it is needed.
    """
    if not written_since(path, start):
        return
    for other in selection.images():
        if other.key != image.key and beside(out, at(other.name), suffix) == path:
            raise UsageError(
                f"{other.name!r} and {image.name!r} would both become {path}; export them apart "
                "with `key`"
            )
