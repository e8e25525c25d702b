"""Keypoints on their way from COCO JSON to the targets of a training."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segcli.errors import UsageError
from segcli.keypoints import PERSON, Skeleton
from segcli.train.augment import Augmentation, make_example
from segcli.train.checks import check_keypoints, check_validation
from segcli.train.data import AnnotatedImage, DataSet, read_dataset, skeleton_of
from segcli.train.initial_model import describe
from segcli.train.loader import BatchPlan, load_epoch
from segcli.train.measure import measure
from segcli.train.sources import Validation
from segcli.types import Batch, Instances, ModelInfo, Resize

NAMES = ("top", "left_end", "right_end")
PLAIN = Augmentation(flip=0, scale=(1, 1), colour=0, paste=0)


@pytest.fixture
def annotated(dataset: tuple[Path, Path]) -> tuple[Path, Path]:
    """The boxes of the data set get three keypoints, in another order than the model's; discs get
    none."""
    images, path = dataset
    document = json.loads(path.read_text())
    document["categories"][1] |= {
        "keypoints": ["right_end", "top", "left_end"],
        "skeleton": [[2, 1], [2, 3]],
        "sigmas": [0.1, 0.1, 0.1],
    }
    for item in document["annotations"]:
        if item["category_id"] == 7:
            x, y, w, h = item["bbox"]
            item["keypoints"] = [x + w, y + h, 2, x + w / 2, y, 1, 0, 0, 0]
            item["num_keypoints"] = 2
    path.write_text(json.dumps(document))
    return images, path


@pytest.fixture
def rows(annotated: tuple[Path, Path]) -> list[AnnotatedImage]:
    return read_dataset(DataSet(*annotated), ("box",), keypoints=NAMES)


def test_they_are_read_in_the_models_order(rows: list[AnnotatedImage]) -> None:
    for row in rows:
        (one,) = row.annotations
        (corners,) = one.outline
        x, y = corners[:2]
        assert one.keypoints.tolist() == [[x + 12, y, 1], [0, 0, 0], [x + 24, y + 30, 2]]


def test_they_are_not_read_for_other_models(annotated: tuple[Path, Path]) -> None:
    (row, *_) = read_dataset(DataSet(*annotated), ("box",))
    assert row.keypoints is None
    assert row.annotations[0].keypoints is None
    example = make_example(row, (80, 96), np.random.default_rng(0), augmentation=PLAIN)
    assert example.keypoints is None


@pytest.mark.parametrize("flip", [0, 1])
def test_they_stay_on_the_object(rows: list[AnnotatedImage], flip: int) -> None:
    """The red box is cut out of a larger picture; its corners are where its keypoints are."""
    how, compared = replace(PLAIN, flip=flip, scale=(1.3, 1.3)), 0
    for seed in range(16):
        row, rng = rows[seed % len(rows)], np.random.default_rng(seed)
        example = make_example(row, (72, 90), rng, augmentation=how)
        (points,), (mask,) = example.keypoints, example.masks
        y, x = np.nonzero(mask)
        if x.min() == 0 or y.min() == 0 or x.max() == 89 or y.max() == 71:
            continue  # the crop cuts the object
        compared += 1
        top, left, right = points
        assert top == pytest.approx([(x.min() + x.max() + 1) / 2, y.min(), 1], abs=1.5)
        corner, other = (left, right) if flip else (right, left)
        assert other.tolist() == [0, 0, 0]
        assert corner == pytest.approx([x.min() if flip else x.max(), y.max(), 2], abs=1.5)
    assert compared > 4


def test_what_leaves_the_crop_is_not_annotated(rows: list[AnnotatedImage]) -> None:
    points = np.array([[-1.0, 5.0, 2], [5.0, 5.0, 2], [95.0, 81.0, 2]])
    row = replace(rows[0], annotations=(replace(rows[0].annotations[0], keypoints=points),))
    example = make_example(row, (80, 96), np.random.default_rng(0), augmentation=PLAIN)
    assert example.keypoints[0].tolist() == [[0, 0, 0], [5, 5, 2], [0, 0, 0]]


def test_pasted_objects_bring_theirs_and_hide_others(rows: list[AnnotatedImage]) -> None:
    how = replace(PLAIN, paste=1.0)
    made = [
        make_example(rows[0], (80, 96), np.random.default_rng(s), augmentation=how, donor=rows[1])
        for s in range(6)
    ]
    both = [one for one in made if len(one.masks) == 2]
    assert both
    for one in both:
        assert one.keypoints.shape == (2, 3, 3)
        for points in one.keypoints[:1]:
            for x, y, v in points:
                column, row = min(int(x), 95), min(int(y), 79)
                if v == 2 and row < 80:
                    assert not one.masks[1, row, column]


def test_targets_have_them(rows: list[AnnotatedImage]) -> None:
    plan = BatchPlan((0, 1), (80, 96))
    ((_, targets),) = load_epoch(
        rows, [plan], augmentation=Augmentation.none(), seed=0, epoch=0, workers=1
    )
    assert [target.keypoints.shape for target in targets] == [(1, 3, 3)] * 2
    assert targets[0].keypoints.dtype == torch.float32


def test_the_skeleton_of_the_data_replaces_the_variants(annotated: tuple[Path, Path]) -> None:
    found = skeleton_of([annotated[1]], ("disc", "box"))
    assert found is not None
    assert (found.names, found.lines) == (("right_end", "top", "left_end"), ((1, 0), (1, 2)))
    info = describe("maskrcnn/keypoint-r50-fpn", ("box",), (7,), (80, 96), found)
    assert (info.keypoints, info.skeleton) == (found.names, found.lines)
    assert describe("maskrcnn/keypoint-r50-fpn", ("a",), (1,), (80, 96)).keypoints == PERSON
    assert (
        describe("maskrcnn/r50-fpn", ("box",), (7,), (80, 96), Skeleton(("a",))).keypoints is None
    )


def test_data_without_keypoints_are_refused_before_the_training(dataset: tuple[Path, Path]) -> None:
    rows = read_dataset(DataSet(*dataset), ("box",), keypoints=NAMES)
    with pytest.raises(UsageError, match="no object has keypoints to train on"):
        check_keypoints(rows)
    with pytest.raises(UsageError, match="annotates no keypoints"):
        check_validation(Validation("v", *dataset), ("box",), iou="keypoints")


class Oracle(torch.nn.Module):
    """Finds the box of the first picture, in its place, with the given keypoints."""

    def __init__(self, info: ModelInfo, found: Instances) -> None:
        super().__init__()
        self.info = info
        self.found = found

    def predict(self, batch: Batch, **options: object) -> list[Instances]:
        return [self.found]


def test_a_model_for_keypoints_is_measured_by_them(
    annotated: tuple[Path, Path], rows: list[AnnotatedImage]
) -> None:
    images, path = annotated
    document = json.loads(path.read_text())
    document["images"] = document["images"][:1]
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] == 0]
    for item in document["annotations"]:
        item["area"] *= 10.0  # small objects have no keypoints in COCO
    path.write_text(json.dumps(document))
    (box,) = (a for a in document["annotations"] if a["category_id"] == 7)
    x, y, w, h = box["bbox"]
    names = ("right_end", "top", "left_end")
    info = ModelInfo("f", "v", ("box",), (7,), Resize(80, 96), 1, keypoints=names)
    corners = torch.tensor([[x, y, x + w, y + h]], dtype=torch.float32)
    aps = []
    for shift in (0.0, 60.0):
        points = torch.tensor(box["keypoints"], dtype=torch.float32).reshape(1, 3, 3) + shift
        found = Instances(
            torch.tensor([0.8]), torch.zeros(1, dtype=torch.long), corners, torch.ones(1, 2, 2),
            corners, keypoints=points,
        )  # fmt: skip
        measured = measure(
            Oracle(info, found), Validation("v", images, path), device=torch.device("cpu"),
            precision="float32",
        )  # fmt: skip
        aps.append(measured.ap)
        assert measured.classes[0].best_score == pytest.approx(0.8)
    assert aps == pytest.approx([1, 0])
