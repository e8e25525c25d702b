"""OKS against pycocotools used directly: the same ten numbers to the last bit."""

import contextlib
import copy
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from typer.testing import CliRunner

from segcli.annotations.coco import parse_coco
from segcli.cli import app
from segcli.errors import UsageError
from segcli.evaluate import Choices, evaluate, evaluate_loaded, score_records, usual
from segcli.evaluate.predictions import read_rows, results_of
from segcli.keypoints import PERSON
from segcli.masks import rle
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

NAMES = ["AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"]
SIDE = 200


def make(seed: int, count: int = 17) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """People of all sizes with annotated, hidden and missing keypoints, some crowds, and detections
    that are near an object, far from any, or in an image without objects."""
    rng = np.random.default_rng(seed)
    objects, found = [], []
    for image in range(1, 7):
        for _ in range(int(rng.integers(0, 5))):
            low = rng.integers(0, SIDE // 2, 2)
            size = rng.integers(8, SIDE - low.max())
            flags = rng.choice([0, 1, 2], (count, 1), p=(0.3, 0.2, 0.5))
            if rng.random() < 0.2:
                flags[:] = 0
            points = np.concatenate((low + rng.integers(0, size, (count, 2)), flags), 1)
            points[flags[:, 0] == 0] = 0
            objects.append({
                "id": len(objects) + 1, "image_id": image, "category_id": 1,
                "bbox": [*map(float, low), float(size), float(size)],
                "area": float(size) ** 2 / rng.uniform(1, 3), "iscrowd": int(rng.random() < 0.1),
                "keypoints": points.ravel().tolist(), "num_keypoints": int((flags > 0).sum()),
            })  # fmt: skip
            for _ in range(int(rng.integers(0, 3))):
                noise = rng.normal(0, size * rng.choice([0.01, 0.05, 0.3]), (count, 2))
                places = np.concatenate((points[:, :2] + noise, np.ones((count, 1))), 1)
                found.append(detection(image, places, rng))
        for _ in range(int(rng.integers(0, 25))):
            places = np.concatenate((rng.uniform(0, SIDE, (count, 2)), np.ones((count, 1))), 1)
            found.append(detection(image, places, rng))
    truth = {
        "images": [
            {"id": n, "height": SIDE, "width": SIDE, "file_name": f"{n}.jpg"} for n in range(1, 7)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": [f"k{n}" for n in range(count)]}],
        "annotations": objects,
    }
    return truth, found


def detection(image: int, places: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    score = float(rng.choice([round(rng.random(), 1), rng.random()]))  # some scores are equal
    keypoints = places.ravel().tolist()
    return {"image_id": image, "category_id": 1, "score": score, "keypoints": keypoints}


def judge(truth: Any, found: Any, sigmas: list[float] | None = None) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = copy.deepcopy(truth)
        known.createIndex()
        evaluator = COCOeval(known, known.loadRes(copy.deepcopy(found)), "keypoints")
        if sigmas is not None:
            evaluator.params.kpt_oks_sigmas = np.array(sigmas)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats.tolist()


def write_output(path: Path, truth: Any, found: Any) -> Path:
    """The detections as rows, in their order; the mask is of no account."""
    text = rle.encode(np.ones((SIDE, SIDE), bool))
    segment = Segment(0, 0.5, (0.0, 0.0, SIDE, SIDE), SIDE**2, text)
    records = [
        Record(Sample(image["file_name"], ""), SIDE, SIDE, [
            replace(
                segment,
                score=one["score"],
                keypoints=tuple(map(tuple, np.reshape(one["keypoints"], (-1, 3)).tolist())),
            )
            for one in found
            if one["image_id"] == image["id"]
        ])
        for image in truth["images"]
    ]  # fmt: skip
    with open_output(path, Settings({}, {}), carried={}, categories=(("person",), (1,))) as output:
        output.commit(records)
    return path


@pytest.mark.parametrize("seed", range(12))
def test_random_cases_agree_to_the_last_bit(seed: int) -> None:
    truth, found = make(seed)
    expected = judge(truth, found)
    scored = score_records(found, truth, iou="keypoints")
    assert list(scored.metrics) == NAMES
    assert list(scored.metrics.values()) == expected
    assert any(0 < value < 1 for value in expected)


def test_rows_give_what_the_results_give(tmp_path: Path) -> None:
    truth, found = make(20)
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    output = write_output(tmp_path / "masks.parquet", truth, found)
    result = evaluate(tmp_path / "gt.json", output, choices=Choices(iou="keypoints"))
    assert list(result.metrics.values()) == judge(truth, found)
    assert result.engine == "pycocotools"


def test_the_command_prints_ten_numbers(tmp_path: Path) -> None:
    truth, found = make(21)
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps(found))
    command = ["eval", "--gt", str(tmp_path / "gt.json"), "--pred", str(tmp_path / "found.json")]
    command += ["--iou", "keypoints", "--json", str(tmp_path / "out.json")]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    content = json.loads((tmp_path / "out.json").read_text())
    expected = dict(zip(NAMES, judge(truth, found), strict=True))
    assert content["metrics"] == {k: None if v < 0 else v for k, v in expected.items()}
    assert content["max_dets"] == [20]
    refused = CliRunner().invoke(app, [*command, "--errors"])
    assert isinstance(refused.exception, UsageError)


def test_other_keypoints_than_peoples_need_tolerances() -> None:
    truth, found = make(22, count=5)
    with pytest.raises(UsageError, match=r"no tolerances are known for 5 keypoints.*sigmas"):
        score_records(found, truth, iou="keypoints")
    truth["categories"][0]["sigmas"] = own = [0.02, 0.05, 0.1, 0.08, 0.03]
    scored = score_records(found, truth, iou="keypoints")
    assert list(scored.metrics.values()) == judge(truth, found, own)


def test_objects_without_keypoints_do_not_count() -> None:
    """As those that COCO annotates with num_keypoints 0: files may also leave the list out."""
    truth, found = make(23)
    expected = judge(truth, found)
    bare = copy.deepcopy(truth)
    for item in bare["annotations"]:
        if not item["num_keypoints"]:
            del item["keypoints"], item["num_keypoints"]
    assert any("keypoints" not in item for item in bare["annotations"])
    assert list(score_records(found, bare, iou="keypoints").metrics.values()) == expected


@pytest.mark.parametrize(
    ("keypoints", "said"),
    [
        ([1, 2], "must be a list of finite numbers"),
        ("x", "must be a list of finite numbers"),
        ([1, 2, float("nan")], "must be a list of finite numbers"),
        ([1.0] * 48, r"has 48 numbers; expected 51"),
    ],
)
def test_invalid_keypoints_are_refused_by_name(keypoints: Any, said: str) -> None:
    truth, found = make(24)
    truth["annotations"][0]["keypoints"] = keypoints
    with pytest.raises(UsageError, match=f"annotation 1: .*{said}"):
        score_records(found, truth, iou="keypoints")
    truth, found = make(24)
    found[2]["keypoints"] = keypoints
    with pytest.raises(UsageError, match=f"detection at place 2: .*{said}"):
        results_of(found, "found", iou="keypoints")


def test_what_has_no_keypoints_is_refused(tmp_path: Path) -> None:
    truth, found = make(25)
    without = copy.deepcopy(truth)
    del without["categories"][0]["keypoints"]
    for item in without["annotations"]:
        del item["keypoints"]
    with pytest.raises(UsageError, match="annotates no keypoints"):
        score_records(found, without, iou="keypoints")
    bare = [{**one, "keypoints": []} for one in found]
    path = write_output(tmp_path / "masks.parquet", truth, bare)
    known = parse_coco(truth, "gt.json", iou="keypoints")
    choices = Choices(iou="keypoints")
    with pytest.raises(UsageError, match=r"masks\.parquet has objects without keypoints"):
        evaluate_loaded(
            known, read_rows(path, iou="keypoints"), choices=choices, params=usual("keypoints")
        )
    fewer = [{**one, "keypoints": one["keypoints"][:9]} for one in found]
    with pytest.raises(UsageError, match=f"3 keypoints per object, .* {len(PERSON)}"):
        score_records(fewer, truth, iou="keypoints")
