"""Both engines against pycocotools used directly: the same numbers to the last bit."""

import json
from pathlib import Path

import numpy as np
import pytest

from segcli.annotations.coco import parse_coco
from segcli.evaluate import ENGINES, Choices, Params, evaluate, score_records
from segcli.evaluate.engines import run
from segcli.evaluate.matched import build_case
from segcli.evaluate.predictions import results_of

from .eval_cases import judge, make, only, write_output

GOLDEN = Path(__file__).resolve().parent.parent / "golden/eval"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("iou", ["segm", "bbox"])
def test_the_trimmed_example_of_the_coco_api(engine: str, iou: str) -> None:
    folder = GOLDEN / "cocoapi"
    found = evaluate(
        folder / "instances_val2014_100.json",
        folder / f"instances_val2014_fake{iou}100_results.json",
        choices=Choices(iou=iou),
        engine=engine,
    )
    expected = json.loads((folder / "expected.json").read_text())[iou]
    assert list(found.metrics.values()) == expected
    assert list(found.metrics)[:6] == ["AP", "AP50", "AP75", "APs", "APm", "APl"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("iou", ["segm", "bbox"])
def test_the_whole_example_of_the_coco_api(data: Path, engine: str, iou: str) -> None:
    folder = data / "eval/cocoapi"
    truth = folder / "instances_val2014_100.json"
    results = folder / f"instances_val2014_fake{iou}100_results.json"
    found = evaluate(truth, results, choices=Choices(iou=iou), engine=engine)
    published = json.loads((folder / "expected_pycocotools.json").read_text())["published"][iou]
    assert list(found.metrics.values()) == pytest.approx(published, rel=0, abs=1e-12)
    own = judge(json.loads(truth.read_text()), json.loads(results.read_text()), iou)
    assert list(found.metrics.values()) == own.stats.tolist()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("iou", ["segm", "bbox", "boundary"])
def test_the_tiny_case_of_faster_coco_eval(engine: str, iou: str) -> None:
    folder = GOLDEN / "faster_coco_eval"
    found = evaluate(
        folder / "gt_dataset.json",
        folder / "dt_dataset.json",
        choices=Choices(iou=iou),
        engine=engine,
    )
    expected = json.loads((folder / "expected.json").read_text())
    if iou != "boundary":
        assert list(found.metrics.values()) == expected["expected"][f"gt_dataset/dt_dataset {iou}"]
        return
    published = expected["published_boundary_iou_for_gt_dataset_dt_dataset"]
    names = {"AP_all": "AP", "AP_50": "AP50", "AP_75": "AP75", "AP_medium": "APm"}
    names |= {"AP_large": "APl", "AR_all": "AR1", "AR_second": "AR10", "AR_third": "AR100"}
    for theirs, ours in {**names, "AR_medium": "ARm"}.items():
        assert found.metrics[ours] == published[theirs]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_random_cases_agree_to_the_last_bit(seed: int) -> None:
    truth, found = make(seed)
    if not found:
        found = only([{**make(1)[1][0], "image_id": truth["images"][0]["id"]}], "segm")
        found[0]["segmentation"] = {"size": [1, 1], "counts": "01"}
        truth["images"][0] |= {"height": 1, "width": 1}
        truth["annotations"] = []
        found[0] |= {"bbox": [0.0, 0.0, 1.0, 1.0], "category_id": truth["categories"][0]["id"]}
    for iou in ("segm", "bbox"):
        expected = judge(truth, found, iou)
        case, _ = build_case(
            parse_coco(truth, "truth", iou=iou), results_of(found, "found", iou=iou), Choices(iou)
        )
        for engine in ENGINES:
            curves = run(case, Params(), engine=engine, iou=iou)
            assert np.array_equal(curves.precision, expected.eval["precision"])
            assert np.array_equal(curves.recall, expected.eval["recall"])
            assert np.array_equal(curves.scores, expected.eval["scores"])
        scored = score_records(found, truth, iou=iou, engine="fast")
        assert list(scored.metrics.values()) == expected.stats.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 8, 12])
@pytest.mark.parametrize("iou", ["segm", "bbox"])
def test_parts_give_what_the_results_file_gives(tmp_path: Path, seed: int, iou: str) -> None:
    truth, found = make(seed)
    assert found, "a seed with detections"
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    output = write_output(tmp_path / "masks.parquet", truth, found)
    metrics = evaluate(tmp_path / "gt.json", output, choices=Choices(iou=iou)).metrics
    assert list(metrics.values()) == judge(truth, found, iou).stats.tolist()


def test_other_limits_than_cocos_agree_as_well() -> None:
    truth, found = make(4)
    params = Params((2, 7), (("tiny", 0.0, 100.0), ("rest", 100.0, 1e10)))
    case, _ = build_case(parse_coco(truth, "t"), results_of(found, "f"), Choices())
    fast, slow = (run(case, params, engine=engine) for engine in ENGINES)
    assert fast.precision.shape[3:] == (3, 2)
    assert np.array_equal(fast.precision, slow.precision)
    assert np.array_equal(fast.recall, slow.recall)


def test_no_detection_at_all_is_zero() -> None:
    truth, _ = make(5)
    truth["annotations"] = [
        {
            "id": 1,
            "image_id": truth["images"][0]["id"],
            "category_id": truth["categories"][0]["id"],
            "segmentation": [[0, 0, 5, 0, 5, 5]],
            "bbox": [0, 0, 5, 5],
            "area": 12.5,
            "iscrowd": 0,
        }
    ]
    for engine in ENGINES:
        assert score_records([], truth, engine=engine).metrics["AP"] == 0.0


def test_an_object_of_id_zero_can_be_found() -> None:
    """pycocotools itself takes the id 0 for "no match"; ours are counted from 1."""
    truth = {
        "images": [{"id": 0, "height": 4, "width": 4, "file_name": "a.jpg"}],
        "categories": [{"id": 0, "name": "thing"}],
        "annotations": [
            {
                "id": 0,
                "image_id": 0,
                "category_id": 0,
                "segmentation": [[0, 0, 3, 0, 3, 3, 0, 3]],
                "bbox": [0, 0, 3, 3],
                "area": 9,
                "iscrowd": 0,
            }
        ],
    }
    found = [
        {
            "image_id": 0,
            "category_id": 0,
            "score": 0.9,
            "segmentation": [[0, 0, 3, 0, 3, 3, 0, 3]],
        }
    ]
    for engine in ENGINES:
        assert score_records(found, truth, engine=engine).metrics["AP"] == pytest.approx(1)
