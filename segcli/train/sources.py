"""Read a TOML file that lists the data sets for training and validation."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segcli.errors import UsageError
from segcli.train.data import DataSet

_TRAIN = frozenset({"images", "annotations", "exhaustive", "weight"})
_VAL = frozenset({"images", "annotations", "categories", "name"})


@dataclass(frozen=True, slots=True)
class Validation:
    """Annotated images for validation; `categories`: only these, None: all of the model."""

    name: str
    images: Path
    annotations: Path
    categories: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """The content of a data file; `categories` None: all in the annotations."""

    train: tuple[DataSet, ...]
    val: tuple[Validation, ...] = ()
    categories: tuple[str, ...] | None = None


def read_sources(path: Path) -> Sources:
    """Read the TOML file `path`; paths in it are relative to its folder.

    `[[train]]` has images, annotations, exhaustive ("all", the default, or the list of categories
    of which every object is annotated) and weight (how many times an epoch shows each image, 1);
    `[[val]]` has images, annotations, name and categories. Raises UsageError.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is not a readable TOML file: {error}") from error
    _check_keys(content, frozenset({"train", "val", "categories"}), str(path))
    train = tuple(_train(entry, path) for entry in _tables(content, "train", path))
    if not train:
        raise UsageError(f"{path} has no data to train on; expected [[train]] tables")
    val = tuple(_val(entry, path) for entry in _tables(content, "val", path))
    wanted = _names(content.get("categories"), f"{path}: categories")
    return Sources(train, val, wanted)


def _train(entry: Mapping[str, Any], path: Path) -> DataSet:
    place = f"{path} [[train]]"
    _check_keys(entry, _TRAIN, place)
    exhaustive, weight = entry.get("exhaustive", "all"), entry.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < 1000:
        raise UsageError(f"{place}: weight = {weight!r}; expected a number above 0, such as 0.5")
    names = None if exhaustive == "all" else _names(exhaustive, f"{place}: exhaustive")
    only = None if names is None else frozenset(names)
    return DataSet(*_places(entry, path, place), only, float(weight))


def _val(entry: Mapping[str, Any], path: Path) -> Validation:
    place = f"{path} [[val]]"
    _check_keys(entry, _VAL, place)
    images, annotations = _places(entry, path, place)
    names = _names(entry.get("categories"), f"{place}: categories")
    name = str(entry.get("name", annotations.parent.name or annotations.stem))
    return Validation(name, images, annotations, None if names is None else frozenset(names))


def _places(entry: Mapping[str, Any], path: Path, place: str) -> tuple[Path, Path]:
    for key in ("images", "annotations"):
        if not isinstance(entry.get(key), str):
            raise UsageError(f"{place}: expected {key} = 'PATH', got {entry.get(key)!r}")
    return path.parent / entry["images"], path.parent / entry["annotations"]


def _tables(content: Mapping[str, Any], key: str, path: Path) -> list[Mapping[str, Any]]:
    found = content.get(key, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise UsageError(f"{path}: expected [[{key}]] tables, each with images and annotations")
    return found


def _names(given: Any, place: str) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise UsageError(f"{place} = {given!r}; expected a list of names, such as ['person']")
    return tuple(given)


def _check_keys(content: Mapping[str, Any], known: frozenset[str], place: str) -> None:
    if unknown := sorted(set(content) - known):
        raise UsageError(f"{place}: no key {unknown[0]!r}; it has {', '.join(sorted(known))}")
