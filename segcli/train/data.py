"""Annotated images in COCO format, from several data sets with different categories."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segcli.annotations.coco import read_coco
from segcli.annotations.ground_truth import GroundTruth
from segcli.annotations.label_maps import require_distinct_names
from segcli.annotations.outlines import Outline
from segcli.annotations.paths import located
from segcli.errors import UsageError
from segcli.keypoints import Skeleton
from segcli.types import Size

_NOTHING = "{} objects with neither an outline nor a box were left out"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object: `label` indexes the model's categories. `keypoints` (P, 3) are x, y and v (0: not
    annotated, 1: hidden, 2: visible) of the model's keypoints, original px; None: none is known."""

    label: int
    outline: Outline | None  # polygons or run lengths, original px; None: a box
    crowd: bool
    box: tuple[float, float, float, float] | None = None  # (x, y, w, h) where nobody drew it
    keypoints: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One image file with its objects; `size` px is what the objects' numbers refer to.

    `exhaustive` (C,): which categories are fully annotated. `weight`: how many times an epoch
    shows the image, on average. `keypoints`: the names of the model's, None if it finds none.
    """

    path: Path
    size: Size
    annotations: tuple[Annotation, ...]
    exhaustive: tuple[bool, ...]
    weight: float = 1.0
    keypoints: tuple[str, ...] | None = None

    @property
    def aspect(self) -> float:
        """Height / width."""
        return self.size[0] / self.size[1]


@dataclass(frozen=True, slots=True)
class DataSet:
    """Annotated images. `only`: the categories of which every object is annotated, None: all in
    the file. `weight`: how many times an epoch shows each image."""

    images: Path
    annotations: Path
    only: frozenset[str] | None = None
    weight: float = 1.0


def read_annotations(path: Path, *, need_masks: bool = False) -> GroundTruth:
    """COCO JSON, also objects with a box alone unless `need_masks`. Raises UsageError that names
    the file."""
    try:
        return read_coco(path, need_masks=need_masks, lenient=not need_masks)
    except UsageError as error:
        named = str(path) in str(error)
        raise error if named else UsageError(f"{path}: {error}") from None


def categories_of(paths: Iterable[Path]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and ids of all categories in the files, in order of id; ids must agree by name."""
    ids: dict[str, int] = {}
    for path in paths:
        truth = read_annotations(path)
        advice = "rename them, or give all their objects one id"
        require_distinct_names(truth, truth.category_names, advice=advice)
        for name, number in zip(truth.category_names, truth.category_ids.tolist(), strict=True):
            if type(number) is not int:
                raise UsageError(f"{path}: category '{name}' has the id '{number}', not a number")
            if ids.setdefault(name, number) != number:
                raise UsageError(
                    f"category '{name}' has id {ids[name]} in one file and {number} in {path}; "
                    "give them one id"
                )
    if not ids:
        raise UsageError("the annotations have no category")
    names = tuple(sorted(ids, key=lambda name: ids[name]))
    return names, tuple(ids[name] for name in names)


def skeleton_of(paths: Iterable[Path], categories: Sequence[str]) -> Skeleton | None:
    """The keypoints of the first of the categories that has some in the files; None without any."""
    found: dict[str, Skeleton] = {}
    for path in paths:
        truth = read_annotations(path)
        for name, one in zip(truth.category_names, truth.skeletons, strict=True):
            if one is not None:
                found.setdefault(name, one)
    return next((found[name] for name in categories if name in found), None)


def read_dataset(
    dataset: DataSet,
    categories: Sequence[str],
    *,
    notes: Counter[str] | None = None,
    keypoints: tuple[str, ...] | None = None,
) -> list[AnnotatedImage]:
    """The images of a data set with the objects of `categories`, in the order of the file.

    `keypoints` are the names of those that the model finds; None: they are not read.
    Objects of other categories are background. `notes` counts what was left out or tolerated, by
    sentence with {} for the count. Raises UsageError where the file is not COCO json, knows none
    of the categories, has an annotation that cannot be drawn, or names an image that is not there.
    """
    truth = read_annotations(dataset.annotations)
    notes = Counter() if notes is None else notes
    notes.update(truth.notes)
    label_of = {name: label for label, name in enumerate(categories)}
    labels = [label_of.get(name, -1) for name in truth.category_names]
    objects: dict[int, list[Annotation]] = defaultdict(list)
    for i, (image, category) in enumerate(
        zip(truth.image.tolist(), truth.category.tolist(), strict=True)
    ):
        if labels[category] >= 0:
            annotation = _annotation(truth, i, labels[category], notes, keypoints)
            objects[image] += [] if annotation is None else [annotation]
    exhaustive = _exhaustive(dataset, truth.category_names, categories, bool(objects))
    sizes = truth.sizes.tolist()
    return [
        AnnotatedImage(
            image_path(dataset.images, truth.names[i], dataset.annotations, notes),
            (sizes[i][0], sizes[i][1]),
            tuple(objects[i]),
            exhaustive,
            dataset.weight,
            keypoints,
        )
        for i in truth.listed.tolist()
    ]


def _annotation(
    truth: GroundTruth,
    i: int,
    label: int,
    notes: Counter[str],
    keypoints: tuple[str, ...] | None,
) -> Annotation | None:
    crowd, outline = bool(truth.crowd[i]), truth.outlines[i]
    points = None if keypoints is None else _points(truth, i, keypoints)
    if outline is not None:
        return Annotation(label, outline, crowd, keypoints=points)
    x, y, w, h = truth.boxes[i].tolist()
    if not (w > 0 and h > 0):
        notes[_NOTHING] += 1
        return None
    return Annotation(label, None, crowd, (x, y, w, h), points)


def _points(truth: GroundTruth, i: int, keypoints: tuple[str, ...]) -> NDArray[np.float64] | None:
    """The object's keypoints in the order of the model's, by name; those that its category does not
    have are not annotated. Without names their number has to fit."""
    own, skeleton = truth.keypoints[i], truth.skeletons[int(truth.category[i])]
    if own is None or (skeleton is None and len(own) != len(keypoints)):
        return None
    found = np.zeros((len(keypoints), 3))
    for place, name in enumerate(keypoints):
        if skeleton is None:
            found[place] = own[place]
        elif name in skeleton.names:
            found[place] = own[skeleton.names.index(name)]
    return found


def _exhaustive(
    dataset: DataSet, names: Sequence[str], categories: Sequence[str], any_object: bool
) -> tuple[bool, ...]:
    """Which of the categories the data set annotates everywhere."""
    known = set(names) if dataset.only is None else dataset.only
    if unknown := sorted(known - {*names, *categories}):
        raise UsageError(
            f"{dataset.annotations} has no category {unknown[0]!r}; it has "
            f"{', '.join(sorted(names)[:10])}"
        )
    exhaustive = tuple(name in known for name in categories)
    if not any(exhaustive) and not any_object:
        raise UsageError(
            f"{dataset.annotations} annotates none of {', '.join(categories)}; it has "
            f"{', '.join(sorted(names)[:10])}"
        )
    return exhaustive


def image_path(
    images: Path, name: str, annotations: Path, notes: Counter[str] | None = None
) -> Path:
    """The file in `images` that `annotations` name; paths of Windows, addresses of Label
    Studio and of the web are read too, and paths with more folders than there are.

    Raises UsageError where there is none.
    """
    if not name:
        raise UsageError(f"{annotations} has an image without file_name")
    path = located(name, images, notes)
    if path is None:
        raise UsageError(f"{annotations} lists {images / name}, which does not exist")
    return images / path
