"""What to fix, on cases so small that the answer is plain."""

from typing import Any

import numpy as np
import pytest

from segcli.errors import GateNotMet, UsageError
from segcli.evaluate import Evaluation, score_records
from segcli.evaluate.bootstrap import compare
from segcli.evaluate.diagnosis import diagnose
from segcli.evaluate.json_report import SCHEMA, as_json, gate
from segcli.masks import rle

SIDE = 40


def mask(x: int, y: int, wide: int = 10, tall: int = 10) -> dict[str, Any]:
    drawn = np.zeros((SIDE, SIDE), bool)
    drawn[y : y + tall, x : x + wide] = True
    return {"size": [SIDE, SIDE], "counts": rle.encode(drawn).decode()}


def truth(*objects: tuple[int, int, int, int]) -> dict[str, Any]:
    """(image, category, x, y): a square of 10 px each; two categories, two images."""
    return {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": SIDE, "width": SIDE} for i in (1, 2)
        ],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}],
        "annotations": [
            {
                "id": n,
                "image_id": image,
                "category_id": category,
                "segmentation": mask(x, y),
                "area": 100,
                "iscrowd": 0,
            }
            for n, (image, category, x, y) in enumerate(objects, 1)
        ],
    }


def found(image: int, category: int, score: float, x: int, y: int, **more: int) -> dict[str, Any]:
    return {
        "image_id": image,
        "category_id": category,
        "score": score,
        "segmentation": mask(x, y, **more),
    }


RIGHT = found(1, 1, 0.9, 0, 0)


def run(known: Any, *detections: dict[str, Any]) -> Evaluation:
    return score_records(detections, known, engine="fast")


@pytest.mark.parametrize(
    ("objects", "detections", "error"),
    [
        ([(1, 1, 0, 0), (1, 1, 20, 20)], [RIGHT, found(1, 2, 0.8, 20, 20)], "classification"),
        ([(1, 1, 0, 0), (1, 1, 20, 20)], [RIGHT, found(1, 1, 0.8, 26, 20)], "localisation"),
        ([(1, 1, 0, 0), (1, 1, 20, 20)], [RIGHT, found(1, 2, 0.8, 26, 20)], "both"),
        ([(1, 1, 0, 0)], [RIGHT, found(1, 1, 0.8, 1, 0)], "duplicate"),
        ([(1, 1, 0, 0)], [RIGHT, found(1, 1, 0.8, 20, 20)], "background"),
        ([(1, 1, 0, 0), (1, 1, 20, 20)], [RIGHT], "missed"),
    ],
)
def test_each_kind_of_error(objects: Any, detections: Any, error: str) -> None:
    tide = diagnose(run(truth(*objects), *detections), min_score=0.5).tide
    assert tide[error][1] == 1
    wrong = {name for name, (_, count) in tide.items() if count} - {"missed"}
    assert wrong <= {error}


def test_the_missed_object_is_worth_its_points() -> None:
    tide = diagnose(run(truth((1, 1, 0, 0), (1, 1, 20, 20)), RIGHT), min_score=0.5).tide
    # AP50 is 51 of 101 recalls; with the other object found, or not asked for, it would be 1.
    assert tide["missed"][0] == pytest.approx(100 * (1 - 51 / 101))


def test_worst_images_by_area() -> None:
    known = truth((1, 1, 0, 0), (2, 1, 0, 0), (2, 1, 20, 0))
    result = run(known, RIGHT, found(1, 1, 0.9, 25, 25, wide=5), found(1, 1, 0.3, 20, 0))
    worst = diagnose(result, min_score=0.5).worst
    assert [(w.key, w.missed, w.missed_px, w.false, w.false_px) for w in worst] == [
        ("2.jpg", 2, 200, 0, 0),
        ("1.jpg", 0, 0, 1, 50),
    ]


def test_an_object_found_below_the_score_is_missed() -> None:
    result = run(truth((1, 1, 0, 0)), found(1, 1, 0.3, 0, 0))
    assert [w.missed for w in diagnose(result, min_score=0.5).worst] == [1]
    assert diagnose(result, min_score=0.2).worst == []


def test_the_best_score_of_a_class() -> None:
    known = truth((1, 1, 0, 0), (1, 1, 20, 0), (2, 2, 0, 0))
    result = run(
        known, RIGHT, found(1, 1, 0.6, 20, 0), found(1, 1, 0.4, 0, 20), found(2, 1, 0.4, 20, 20)
    )
    car, bus = diagnose(result, min_score=0.5).best_scores
    assert (car.name, car.score, car.f1, car.precision, car.recall) == ("car", 0.6, 1, 1, 1)
    assert (bus.name, bus.score, bus.f1) == ("bus", None, 0)


def test_confusion_has_missed_and_background() -> None:
    known = truth((1, 1, 0, 0), (1, 1, 20, 20), (2, 2, 0, 0))
    result = run(known, RIGHT, found(1, 2, 0.8, 20, 20), found(2, 1, 0.7, 20, 20))
    told = diagnose(result, min_score=0.5).as_json()["confusion"]
    assert told["rows"] == ["car", "bus", "background"]
    assert told["columns"] == ["car", "bus", "missed"]
    assert told["counts"] == [[1, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_costs_sum_to_what_is_missing_from_100() -> None:
    result = run(truth((1, 1, 0, 0), (1, 1, 20, 20), (2, 2, 0, 0)), RIGHT, found(2, 2, 0.9, 0, 0))
    costs = diagnose(result, min_score=0.5).costs
    assert sum(costs) == pytest.approx(100 * (1 - result.metrics["AP"]))
    assert costs[1] == pytest.approx(0)


def test_a_run_against_itself_does_not_differ() -> None:
    result = run(truth((1, 1, 0, 0), (2, 1, 20, 20)), RIGHT)
    compared = compare(result, result, other="itself", resamples=20)
    ap = compared.differences["AP"]
    assert (ap.difference, ap.low, ap.high, ap.certain) == (0, 0, 0, False)
    assert compared.images == 2


def test_the_better_run_is_the_first_minus_the_second() -> None:
    known = truth((1, 1, 0, 0), (2, 1, 20, 20))
    good = run(known, RIGHT, found(2, 1, 0.9, 20, 20))
    poor = run(known, found(1, 1, 0.9, 4, 0), found(2, 1, 0.9, 24, 20))
    ap = compare(good, poor, other="poor", resamples=50).differences["AP"]
    assert ap.difference > 0.9
    assert ap.low > 0
    assert ap.certain


def test_the_gate() -> None:
    result = run(truth((1, 1, 0, 0), (1, 1, 20, 20)), RIGHT)
    gate(result, [("AP50", 0.5), ("AR1", 0.5)])
    with pytest.raises(GateNotMet, match=r"AP50 is 0\.5050, below 0\.6"):
        gate(result, [("AP50", 0.6)])
    with pytest.raises(GateNotMet, match="APl is undefined"):
        gate(result, [("APl", 0.1)])
    with pytest.raises(UsageError, match="AP99: there is no such metric; there are: AP, AP50"):
        gate(result, [("AP99", 0.1)])


def test_the_json_is_versioned_and_has_null_for_unknown() -> None:
    result = run(truth((1, 1, 0, 0)), RIGHT)
    content = as_json(result, diagnosis=diagnose(result, min_score=0.5))
    assert content["schema"] == SCHEMA == 1
    assert content["metrics"]["APs"] == pytest.approx(1)
    assert content["metrics"]["APl"] is None
    assert content["categories"][1]["ap"] is None
    assert content["worst"] == []


@pytest.mark.parametrize(
    ("detections", "points"),
    [
        ([RIGHT, found(1, 1, 0.8, 20, 0)], 50),  # one category perfect, the other never found
        ([RIGHT, found(1, 2, 0.8, 0, 20)], 100 * (1 - 51 / 101)),  # one of two in each
        ([], 100),
    ],
)
def test_missed_counts_categories_without_a_detection(detections: Any, points: float) -> None:
    known = truth((1, 1, 0, 0), (1, 1, 20, 0), (1, 2, 0, 20), (1, 2, 20, 20))
    tide = diagnose(run(known, *detections), min_score=0.5).tide
    assert tide["missed"][0] == pytest.approx(points)
    assert all(cost == 0 for name, (cost, _) in tide.items() if name != "missed")
