"""Match ground truth with detections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from segcli.annotations.columns import find, name_of, places
from segcli.annotations.ground_truth import GroundTruth
from segcli.annotations.label_maps import CategoryPairs, pair_categories, require_distinct_names
from segcli.annotations.outlines import check_outlines, to_rle
from segcli.annotations.pairing import pair_images
from segcli.categories import known_name
from segcli.errors import UsageError
from segcli.evaluate.keypoints import Points, annotated, require_points
from segcli.evaluate.mismatch_errors import (
    SHOWN,
    called,
    never_predicted,
    nothing_in_common,
    require_alike,
)
from segcli.evaluate.predictions import Results, Rows
from segcli.evaluate.rescaling import rescaled
from segcli.masks.batch import Masks, measure
from segcli.plurals import with_count
from segcli.store.repeated import Static
from segcli.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Choices:
    """Options of the user: `missing` error, ignore or count (images that were never predicted);
    `categories` of the ground truth by name (None: those that the run looked for; ("all",): all).
    `strict`: see read_coco. `merge_categories`: those of one name in the ground truth are one.
    `static` repeat or ignore: static images have the masks that they repeat, or are left out.
    """

    iou: str = "segm"
    missing: str = "error"
    rescale: bool = False
    categories: tuple[str, ...] | None = None
    strict: bool = False
    merge_categories: bool = False
    static: Static = "repeat"


@dataclass(frozen=True, slots=True)
class Matching:
    """The result of the matching, for messages and for --json."""

    images_by: str
    categories_by: str
    compared: int
    never_predicted: tuple[str, ...] = ()
    without_truth: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    ambiguous: tuple[str, ...] = ()
    rescaled: tuple[str, ...] = ()
    truth_only: tuple[tuple[str, str | None], ...] = ()
    run_only: tuple[tuple[str, str | None], ...] = ()
    not_counted: int = 0  # detections of images or categories that are not compared
    notes: tuple[str, ...] = ()  # on tolerated problems in the files


@dataclass(frozen=True, slots=True)
class Case:
    """What is compared: `images` and `categories` of the truth by index, and D detections.

    Of the detections: `image` and `category` index the truth; `boxes` (D, 4) xywh px; `areas` px
    of the mask, or of the box when boxes are compared; `masks` and `points` None unless they are
    compared. The boxes of `points` are their extents.
    `keys`: how the images are called in the output that was evaluated, "" where unknown.
    """

    truth: GroundTruth
    iou: str
    images: NDArray[np.int64]
    categories: NDArray[np.int64]
    image: NDArray[np.int64]
    category: NDArray[np.int64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    masks: Masks | None
    keys: tuple[str, ...] = field(repr=False)
    points: Points | None = None

    @property
    def count(self) -> int:
        """Keypoints of an object."""
        known = [len(own) for own in self.truth.keypoints if own is not None]
        found = 0 if self.points is None else self.points.xys.shape[1]
        return found or max(known, default=0)


def build_case(
    truth: GroundTruth, found: Rows | Results, choices: Choices
) -> tuple[Case, Matching]:
    """Raises UsageError if images cannot be matched or differ in size."""
    if isinstance(found, Results):
        case, matching = _from_results(truth, found, choices)
    else:
        case, matching = _from_rows(truth, found, choices)
    if case.points is not None:
        require_points(truth, case.categories, case.points, found.where)
    return case, matching


def _from_results(truth: GroundTruth, found: Results, choices: Choices) -> tuple[Case, Matching]:
    """COCO's ids say what belongs together. No image is missing: such a file cannot tell."""
    image = places(found.image_ids, truth.image_ids, found.items, "detection", of="image")
    everything = np.arange(len(truth.category_ids))
    counted = _asked(truth, choices.categories, everything)
    if choices.iou == "keypoints":
        counted = annotated(truth, counted)
    at = find(found.category_ids, truth.category_ids)
    for merged, kept in truth.merged_ids.items():
        at[found.category_ids == merged] = truth.category_ids.tolist().index(kept)
    known = at >= 0
    keep = np.flatnonzero(known & np.isin(at, counted))
    sizes = truth.sizes[image]
    notes: Counter[str] = Counter()
    masks = None
    if choices.iou in ("segm", "boundary"):
        outlines = check_outlines(
            found.items, sizes, lambda i: name_of(found.items, i, "detection"), notes=notes
        )
        masks = Masks.of([to_rle(one, *sizes[i].tolist()) for i, one in enumerate(outlines) if one])
        areas = measure(masks, sizes, name=lambda i: f"detection at place {i}").astype(np.float64)
        boxes = np.zeros((len(image), 4))
    else:
        assert found.boxes is not None, "boxes are read when they are compared"
        boxes = found.boxes
        areas = boxes[:, 2] * boxes[:, 3]
    lost = sorted({str(number) for number in found.category_ids[~known]})
    case = Case(
        truth=truth,
        iou=choices.iou,
        images=np.arange(len(truth.image_ids)),
        categories=counted,
        image=image[keep],
        category=at[keep],
        scores=found.scores[keep],
        boxes=boxes[keep],
        areas=areas[keep],
        masks=masks.take(keep) if masks is not None else None,
        keys=truth.names,
        points=None if found.points is None else found.points.take(keep),
    )
    return case, Matching(
        images_by="id",
        categories_by="id",
        compared=len(case.images),
        run_only=tuple((f"id {number}", None) for number in lost),
        not_counted=len(image) - len(keep),
        notes=(*truth.notes, *(with_count(text, count) for text, count in notes.items())),
    )


def _from_rows(truth: GroundTruth, rows: Rows, choices: Choices) -> tuple[Case, Matching]:
    pairs = pair_images(truth.names, rows.names)
    categories = pair_categories(truth, rows.vocabulary)
    there = pairs.row >= 0
    if not there.any():
        raise UsageError(nothing_in_common(truth, rows))
    never = tuple(called(truth, i) for i in np.flatnonzero(~there).tolist())
    if never and choices.missing == "error":
        raise UsageError(never_predicted(never, pairs.ambiguous, len(truth.image_ids), rows.where))
    failed = there.copy()
    failed[there] = [rows.reasons[row] is not None for row in pairs.row[there].tolist()]
    differing = _differing(truth, rows, pairs.row, there & ~failed)
    if len(differing):
        require_alike(truth, rows, pairs.row, differing, rescale=choices.rescale)
    left_out = ~there | failed if choices.missing == "ignore" else np.zeros(len(there), bool)
    counted = _counted_categories(truth, categories, choices.categories)
    if choices.iou == "keypoints":
        counted = annotated(truth, counted)
    case = _gather(truth, rows, (pairs.row, categories.truth), np.flatnonzero(~left_out), counted)
    return case, Matching(
        images_by=pairs.rule,
        categories_by=categories.rule,
        compared=len(case.images),
        never_predicted=never,
        without_truth=tuple(rows.keys[i] for i in pairs.without_truth),
        failed=tuple(
            (rows.keys[row], rows.reasons[row] or "") for row in pairs.row[failed].tolist()
        ),
        ambiguous=pairs.ambiguous,
        rescaled=tuple(called(truth, i) for i in differing.tolist()),
        truth_only=categories.truth_only,
        run_only=categories.run_only,
        not_counted=len(rows.scores) - len(case.scores),
        notes=truth.notes,
    )


def _gather(
    truth: GroundTruth,
    rows: Rows,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    images: NDArray[np.int64],
    counted: NDArray[np.int64],
) -> Case:
    """The detections that count, in the order of the output, in the truth's numbers."""
    row, category_of = pairs
    truth_of_row = np.full(len(rows.keys) + 1, -1)
    truth_of_row[row[images]] = images  # -1 lands on the spare place at the end
    truth_of_row[-1] = -1
    image, category = truth_of_row[rows.image], category_of[rows.category.astype(np.int64)]
    keep = np.flatnonzero((image >= 0) & np.isin(category, counted))
    image, category = image[keep], category[keep]
    boxes, masks = rows.boxes[keep], None
    points = None if rows.points is None else rows.points.take(keep)
    areas = boxes[:, 2] * boxes[:, 3]
    own_sizes, sizes = rows.sizes[rows.image[keep]], truth.sizes[image]
    keys = [""] * len(truth.image_ids)
    for i, at in enumerate(row.tolist()):
        keys[i] = rows.keys[at] if at >= 0 else ""
    if rows.masks is not None:
        masks = rows.masks if len(keep) == len(rows.masks) else rows.masks.take(keep)
        areas = measure(
            masks, own_sizes, name=lambda i: f"a mask of {rows.keys[rows.image[keep[i]]]!r}"
        ).astype(np.float64)
    other = np.flatnonzero((own_sizes != sizes).any(1) & (sizes > 0).all(1))
    if len(other):
        scale = np.where(sizes > 0, sizes, own_sizes) / own_sizes
        boxes = boxes * np.tile(scale[:, ::-1], 2)
        points = points and points.scaled(scale[:, ::-1])
        areas = boxes[:, 2] * boxes[:, 3]
        if masks is not None:
            masks = rescaled(masks, own_sizes, sizes, other)
            areas = measure(masks, sizes, name=str).astype(np.float64)
    return Case(
        truth=truth,
        iou="keypoints" if points is not None else "bbox" if masks is None else "segm",
        images=images,
        categories=counted,
        image=image,
        category=category,
        scores=rows.scores[keep],
        boxes=boxes,
        areas=areas,
        masks=masks,
        keys=tuple(keys),
        points=points,
    )


def _differing(
    truth: GroundTruth, rows: Rows, row: NDArray[np.int64], judged: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Images of the truth whose rows have another size, where the truth has one."""
    index = np.flatnonzero(judged & (truth.sizes > 0).all(1))
    found: NDArray[np.int64] = index[(truth.sizes[index] != rows.sizes[row[index]]).any(1)]
    return found


def _counted_categories(
    truth: GroundTruth, pairs: CategoryPairs, asked: Sequence[str] | None
) -> NDArray[np.int64]:
    paired = np.flatnonzero(np.bincount(pairs.truth[pairs.truth >= 0]))
    if asked is None and not len(paired):
        known = ", ".join(name for name, _ in pairs.run_only[:SHOWN])
        there = ", ".join(truth.category_names[:SHOWN])
        raise UsageError(
            f"no category of the run ({known}, ...) is in the ground truth ({there}, ...), neither "
            "by name nor by id; rename them in the ground truth"
        )
    return _asked(truth, asked, paired)


def _asked(
    truth: GroundTruth, asked: Sequence[str] | None, default: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Indices, ascending, of --categories."""
    if asked is None:
        return default
    if tuple(asked) == ("all",):
        return np.arange(len(truth.category_ids))
    places = set()
    for name in asked:
        meant = known_name(name, truth.category_names)
        if meant is None:
            raise UsageError(
                f"--categories: the ground truth has no category {name!r}; it has "
                f"{', '.join(truth.category_names[:20])}{did_you_mean(name, truth.category_names)}"
            )
        require_distinct_names(truth, [meant])
        places.add(truth.category_names.index(meant))
    return np.array(sorted(places), np.int64)
