"""Copy or link the images of an export to where readers of its format look for them."""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path

from segcli.annotations.losses import Losses
from segcli.annotations.one_each import Place
from segcli.errors import ImageError, UsageError
from segcli.files import replacing, reporting
from segcli.sources import is_archive_name, read
from segcli.store import read_roots
from segcli.store.image_masks import ImageMasks
from segcli.viz import images_of

_FRAME = "{} frames of videos have no file and were not placed"
_UNREADABLE = "{} images could not be placed: the file is missing or cannot be read"
_PACKED = "{} images have no file of their own and were copied instead of linked"


def place_images(masks: Path, images: str | None, *, link: bool) -> Place:
    """Copies images to their places, or links them there. `images`: where they are, None: where the
    run found them. Raises UsageError when that is not known."""
    roots = read_roots(masks)
    found = images_of(images, roots)

    def place(image: ImageMasks, target: Path, tally: Losses) -> None:
        if image.frame is not None:
            return tally.lost(_FRAME)
        try:
            sample = found.sample(image.key)
            if sample.data is not None or sample.member is not None:
                if link:
                    tally.lost(_PACKED)
                _put(target, read(sample))
            elif not os.path.isfile(sample.path) or is_archive_name(sample.path):
                tally.lost(_UNREADABLE)
            else:
                _put(target, Path(sample.path), link=link)
        except ImageError:
            tally.lost(_UNREADABLE)

    return place


def _put(target: Path, what: Path | bytes, *, link: bool = False) -> None:
    """Raises UsageError for another file that is there already: it may be somebody's image."""
    if os.path.lexists(target):
        if not _is_same(target, what):
            raise UsageError(
                f"{target} already exists and is another file; export to another folder"
            )
        return
    with reporting(target), replacing(target) as unfinished:
        if isinstance(what, bytes):
            unfinished.write_bytes(what)
        elif link:
            unfinished.symlink_to(what.resolve())
        else:
            shutil.copyfile(what, unfinished)


def _is_same(target: Path, what: Path | bytes) -> bool:
    try:
        if isinstance(what, bytes):
            return target.read_bytes() == what
        return os.path.samefile(target, what) or filecmp.cmp(target, what, shallow=False)
    except OSError:
        return False
