"""Selection of the images of an output by their keys and by a condition over their columns.

An image filter is not a mask filter: an image that passes counts even if it has no masks, and
one that does not pass counts nowhere, so that rates are over the images that pass.
"""

from __future__ import annotations

from contextlib import suppress

from segcli.errors import UsageError
from segcli.store.query import Rows, literal
from segcli.store.schema import MASK_COLUMNS


def image_condition(rows: Rows, *, key: str | None, where_image: str | None) -> str:
    """SQL that is true for the rows of the images that pass: `key` is a pattern (* ? [...]).

    Raises UsageError for a `where_image` that is not a condition over the columns of images.
    """
    terms = []
    if key is not None:
        terms.append(f"key GLOB {literal(key)}")
    if where_image is not None:
        rows.check(where_image, "`where_image`", without=MASK_COLUMNS)
        terms.append(f"coalesce((\n{where_image}\n)::BOOLEAN, false)")
    return " AND ".join(terms) or "true"


def is_about_images(rows: Rows, where: str | None) -> bool:
    """Whether a filter of masks uses the columns of images alone: it was probably meant for them,
    and the images that do not pass would count as images without masks."""
    if where is None:
        return False
    with suppress(UsageError):
        rows.check(where, "`where`", without=MASK_COLUMNS)
        return True
    return False
