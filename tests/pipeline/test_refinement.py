"""Test-time options: the mirrored view, thresholds of categories, small areas, overlaps."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from segcli.cli.options import least_scores
from segcli.cli.wording import worded
from segcli.errors import UsageError
from segcli.masks import rle
from segcli.masks.sampling import segments
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.job import Job
from segcli.pipeline.refinement import Refinement
from segcli.pipeline.settings import describe
from segcli.pipeline.stages.inference import Inference, load_inference
from segcli.pipeline.stages.mirror import mirrored, turned_back
from segcli.pipeline.stages.predictor import load_predictor
from segcli.pipeline.stages.prefetch import Loaded
from segcli.store import read_settings
from segcli.types import Batch, Image, Instances, Sample, Segment

CANVAS = (64, 96)


def engine(**options: object) -> Inference:
    wanted = PredictOptions(source="", out=Path("out"), model="toy", device="cpu", **options)
    job = Job.of(
        wanted, describe(wanted), precision="float32", runtime="torch", load=load_predictor
    )
    return load_inference(job, [].append)


def colours() -> Loaded:
    """Red, a large area; green, a small one; on a canvas that is wider than the content."""
    pixels = np.zeros((64, 80, 3), np.uint8)
    pixels[:, :30, 0] = 200
    pixels[10:20, 60:70, 1] = 150
    return Loaded(0, Sample("0", ""), Image("0", pixels, (64, 80)))


def found(**options: object) -> list[tuple[int, int, float]]:
    (record,) = engine(**options).records(CANVAS, [colours()])
    return [(s.label, s.area, round(s.score, 3)) for s in record.segments]


RED, GREEN = (0, 64 * 30, 0.784), (1, 100, 0.588)


def test_without_options_everything_is_found() -> None:
    assert found() == [RED, GREEN]


def test_a_model_that_is_its_own_mirror_image_finds_the_same_in_both_views() -> None:
    (plain,) = engine().records(CANVAS, [colours()])
    inference = engine(tta="flip")
    seen: list[torch.Tensor] = []
    ask = inference.model.predict
    inference.model.predict = lambda batch, **more: seen.append(batch.pixels) or ask(batch, **more)
    (both,) = inference.records(CANVAS, [colours()])
    assert [dataclasses.replace(s, score=0) for s in both.segments] == [
        dataclasses.replace(s, score=0) for s in plain.segments
    ]
    assert [s.score for s in both.segments] == pytest.approx([s.score for s in plain.segments])
    assert len(seen) == 2
    assert torch.equal(seen[1][..., :80], seen[0][..., :80].flip(-1))
    assert torch.equal(seen[1][..., 80:], seen[0][..., 80:])


def test_what_one_view_alone_shows_loses_half_of_its_score() -> None:
    inference = engine(tta="flip")
    ask = inference.model.predict
    answers = iter((False, True))
    inference.model.predict = lambda batch, **more: [
        none(one) if next(answers) else one for one in ask(batch, **more)
    ]
    (record,) = inference.records(CANVAS, [colours()])
    assert [round(s.score, 3) for s in record.segments] == [RED[2] / 2, GREEN[2] / 2]


def none(instances: Instances) -> Instances:
    names = ("scores", "labels", "fields", "extents")
    return dataclasses.replace(instances, **{name: getattr(instances, name)[:0] for name in names})


def test_keypoints_are_turned_back_with_their_sides() -> None:
    instances = Instances(
        torch.ones(1), torch.zeros(1, dtype=torch.long), None, torch.ones(1, 2, 2),
        torch.tensor([[0.0, 0.0, 4.0, 4.0]]),
        keypoints=torch.tensor([[[1.0, 5.0, 0.9], [10.0, 6.0, 0.8], [30.0, 7.0, 0.7]]]),
    )  # fmt: skip
    back = turned_back(instances, 64, ("nose", "left_eye", "right_eye"))
    expected = torch.tensor([[[63.0, 5.0, 0.9], [34.0, 7.0, 0.7], [54.0, 6.0, 0.8]]])
    assert torch.equal(back.keypoints, expected)


def test_masks_are_turned_back_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    instances = Instances(
        scores=torch.tensor([0.9, 0.8]),
        labels=torch.tensor([0, 1]),
        boxes=torch.tensor([[1.0, 2.0, 20.0, 30.0], [5.0, 5.0, 50.0, 40.0]]),
        fields=torch.rand(2, 7, 9, generator=generator),
        extents=torch.tensor([[0.0, 0.0, 64.0, 48.0], [3.5, 4.25, 50.0, 40.0]]),
    )
    sizes = {"content_size": (48, 64), "image_size": (96, 128)}
    for one, other in zip(
        segments(instances, **sizes), segments(turned_back(instances, 64), **sizes), strict=True
    ):
        mask, turned = (rle.decode(s.rle, 96, 128) for s in (one, other))
        assert np.array_equal(mask[:, ::-1], turned)
        assert 128 - one.box[0] - one.box[2] == pytest.approx(other.box[0])
    again = turned_back(turned_back(instances, 64), 64)
    assert torch.equal(again.fields, instances.fields)
    assert torch.equal(again.extents, instances.extents)


def test_each_image_of_a_batch_is_mirrored_in_its_own_width() -> None:
    pixels = torch.arange(2 * 3 * 2 * 4, dtype=torch.uint8).view(2, 3, 2, 4)
    batch = Batch(("a", "b"), pixels, ((2, 3), (1, 4)), ((2, 3), (1, 4)))
    turned = mirrored(batch).pixels
    assert turned[0, 0].tolist() == [[2, 1, 0, 3], [6, 5, 4, 7]]
    assert turned[1, 0].tolist() == [[27, 26, 25, 24], [28, 29, 30, 31]]


def test_a_category_has_its_own_threshold() -> None:
    assert found(class_scores=(("red", 0.9),)) == [GREEN]
    assert found(min_score=0.9, class_scores=(("green", 0.5),)) == [GREEN]
    assert found(min_score=0.9, class_scores=(("green", 0.5), ("red", 0.7))) == [RED, GREEN]


@pytest.mark.parametrize(
    ("scores", "labels", "least"),
    [({}, None, 0.2), ({1: 0.1}, None, 0.1), ({1: 0.5}, None, 0.2), ({1: 0.5}, {1}, 0.5)],
)
def test_the_model_is_asked_for_the_least_score(scores, labels, least) -> None:
    refinement = Refinement(scores=scores)
    assert refinement.least_score(0.2, labels and frozenset(labels)) == least


def test_small_masks_are_dropped() -> None:
    assert found(min_area=100) == [RED, GREEN]
    assert found(min_area=101) == [RED]


def test_of_masks_that_overlap_the_best_one_stays_whatever_it_is() -> None:
    mask = rle.encode(np.ones((4, 4), bool))
    both = [Segment(label, 0.9 - label / 10, (0.0, 0.0, 4.0, 4.0), 16, mask) for label in (0, 1)]
    keep = {"min_score": 0.05, "max_masks": 100}
    assert Refinement().refined([both], (4, 4), **keep) == both
    assert Refinement(class_agnostic=True).refined([both], (4, 4), **keep) == both[:1]
    assert describe(
        PredictOptions(source="", out=Path("o"), model="toy", merge_class_agnostic=True)
    ).refinement.class_agnostic


def test_no_more_masks_than_asked_for() -> None:
    assert found(tta="flip", max_masks=1) == [RED]


CHANGED = {
    "tta": ("flip", "tta"),
    "merge_class_agnostic": (True, "merge class agnostic"),
    "min_area": (9, "min area"),
    "class_scores": ((("red", 0.5),), "`class_scores`"),
}


def test_other_options_are_refused_on_the_same_output(tmp_path: Path) -> None:
    Pillow.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "a.png")
    plain = PredictOptions(
        source=str(tmp_path / "a.png"), out=tmp_path / "m", model="toy", replicas=0, device="cpu",
        precision="float32",
    )  # fmt: skip
    predict(plain, report=lambda event: None)
    for name, (value, stated) in CHANGED.items():
        with pytest.raises(UsageError, match=f"made with other settings.*{stated}"):
            predict(dataclasses.replace(plain, **{name: value}), report=lambda event: None)
    everything = {name: value for name, (value, _) in CHANGED.items()}
    own = dataclasses.replace(plain, out=tmp_path / "own", **everything)
    predict(own, report=lambda event: None)
    assert predict(own, report=lambda event: None).images == 0
    settings = read_settings(tmp_path / "own")
    assert settings["class_scores"] == {"red": 0.5}
    assert (settings["tta"], settings["min_area"], settings["merge_class_agnostic"]) == (
        "flip",
        9,
        0.5,
    )


@pytest.mark.parametrize(
    ("text", "general", "own"),
    [
        ("0.3", 0.3, ()),
        ("person=0.5, car=0.3", 0.05, (("person", 0.5), ("car", 0.3))),
        ("0.1,traffic light=0.5", 0.1, (("traffic light", 0.5),)),
    ],
)
def test_min_score_is_read(text, general, own) -> None:
    assert least_scores(text, 0.05) == {"min_score": general, "class_scores": own}


@pytest.mark.parametrize(
    "text", ["high", "1.5", "nan", "person=", "person=2", "0.1,0.2", "a=0,a=1"]
)
def test_min_score_that_cannot_be_is_refused(text) -> None:
    with pytest.raises(UsageError, match="--min-score .*: expected a number from 0 to 1, or NAME="):
        least_scores(text, 0.05)


def test_thresholds_are_of_categories_that_are_looked_for() -> None:
    options = {"source": "", "out": Path("o"), "model": "toy"}
    with pytest.raises(UsageError, match="no 'rde' in toy/tiny .*did you mean 'red'?") as caught:
        describe(PredictOptions(class_scores=(("rde", 0.5),), **options))
    assert worded(str(caught.value)).startswith("--min-score: no 'rde'")
    with pytest.raises(UsageError, match="has 'red', which `categories` leaves out"):
        describe(PredictOptions(class_scores=(("red", 0.5),), categories=("green",), **options))
    with pytest.raises(UsageError, match="`class_scores` red=2: expected a number from 0 to 1"):
        PredictOptions(class_scores=(("red", 2),), **options)
    with pytest.raises(UsageError, match="`min_area` -1: expected px"):
        PredictOptions(min_area=-1, **options)
    with pytest.raises(UsageError, match="`tta` turn: expected one of none, flip"):
        PredictOptions(tta="turn", **options)
