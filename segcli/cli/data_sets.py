"""The data sets of `segcli train`, from --data or from the options that it replaces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from segcli.cli.options import comma_list
from segcli.errors import UsageError

if TYPE_CHECKING:
    from segcli.train.data import DataSet
    from segcli.train.sources import Sources, Validation


class Given(NamedTuple):
    """The options that list data sets."""

    data: Path | None
    images: list[Path] | None
    ann: list[Path] | None
    only_categories: list[str] | None
    categories: tuple[str, ...] | None
    val_images: Path | None
    val_ann: Path | None


def sources_of(given: Given) -> Sources:
    """The data sets for training and validation. Raises UsageError."""
    from segcli.train.sources import Sources, read_sources

    if given.data is not None:
        if others := [name for name in given._fields[1:] if getattr(given, name)]:
            raise UsageError(
                f"--{others[0].replace('_', '-')} is given with --data; put it into {given.data}"
            )
        return read_sources(given.data)
    if not given.images and not given.ann:
        raise UsageError("nothing to train on; give --images and --ann, or --data FILE.toml")
    train = _pairs(given.images or [], given.ann or [], given.only_categories or [])
    return Sources(train, _validation(given.val_images, given.val_ann), given.categories)


def _validation(images: Path | None, ann: Path | None) -> tuple[Validation, ...]:
    from segcli.train.sources import Validation

    if images is None and ann is None:
        return ()
    if images is None or ann is None:
        raise UsageError("--val-images and --val-ann go together; give both or neither")
    return (Validation(ann.stem, images, ann),)


def _pairs(images: list[Path], ann: list[Path], only: list[str]) -> tuple[DataSet, ...]:
    """--images, --ann and --only-categories in the same position belong together."""
    from segcli.train.data import DataSet

    if len(images) != len(ann):
        raise UsageError(
            f"{len(images)} --images and {len(ann)} --ann; give one --ann for each --images"
        )
    if only and len(only) != len(ann):
        raise UsageError(
            f"{len(only)} --only-categories for {len(ann)} data sets; give one for each, "
            "'all' if everything is annotated"
        )
    known = [
        None if text == "all" else frozenset(comma_list(text, "--only-categories")) for text in only
    ]
    triples = zip(images, ann, known or [None] * len(ann), strict=True)
    return tuple(DataSet(*triple) for triple in triples)
