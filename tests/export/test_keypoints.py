"""Keypoints and mask scores, exported, read by pycocotools and imported again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from typer.testing import CliRunner

from segcli.cli import app
from segcli.errors import UsageError
from segcli.export import FORMATS, Choices, select
from segcli.export.import_annotations import import_annotations
from segcli.keypoints import Skeleton, recorded, skeletons_of
from segcli.masks import rle
from segcli.store import MinScores, Settings, open_output, read_settings
from segcli.store.image_masks import Mask, read_image_masks
from segcli.types import Record, Sample, Segment

SKELETON = Skeleton(("nose", "left_ear", "right_ear"), ((0, 1), (0, 2)))
POINTS = ((1.5, 2.0, 0.75), (4.0, 3.25, 0.5), (0.0, 0.0, 0.0))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A person with keypoints and a mask score, and a car without either."""
    square = np.zeros((8, 9), bool)
    square[2:6, 3:7] = True
    car = Segment(1, 0.9, (3.0, 2.0, 4.0, 4.0), 16, rle.encode(square))
    person = replace(car, label=0, score=0.8, mask_score=0.25, keypoints=POINTS)
    settings = Settings({}, {"default_score": 0.5, "keypoints": recorded({"person": SKELETON})})
    path = tmp_path / "masks.parquet"
    with open_output(path, settings, carried={}, categories=(("person", "car"), (1, 3))) as opened:
        opened.commit([Record(Sample("a.jpg", ""), 8, 9, [car, person])])
    return path


def written(output: Path, to: str, out: Path, **more: Any) -> Any:
    tally = FORMATS[to](select(output), out, Choices(**more))
    return tally, json.loads(out.read_text())


def objects(path: Path) -> tuple[Mask, ...]:
    (image,) = read_image_masks(path, min_score=MinScores(0.0))
    return image.masks


def test_instances_come_back_as_they_were(output: Path, tmp_path: Path) -> None:
    tally, document = written(output, "coco", tmp_path / "ann.json")
    assert tally.sentences() == []
    person, car = document["categories"]
    assert (person["keypoints"], person["skeleton"]) == (list(SKELETON.names), [[1, 2], [1, 3]])
    assert "keypoints" not in car
    first, second = document["annotations"]
    assert not {"keypoints", "mask_score"} & first.keys()
    assert second["keypoints"] == [1.5, 2.0, 2, 4.0, 3.25, 2, 0.0, 0.0, 0]
    assert (second["num_keypoints"], second["score"]) == (2, 0.8)
    import_annotations(None, tmp_path / "ann.json", tmp_path / "in.parquet")
    assert objects(tmp_path / "in.parquet") == objects(output)
    assert skeletons_of(read_settings(tmp_path / "in.parquet")) == {"person": SKELETON}


def test_results_have_what_is_compared_and_its_score(output: Path, tmp_path: Path) -> None:
    written(output, "coco", tmp_path / "ann.json")
    truth = COCO(str(tmp_path / "ann.json"))
    lost = {}
    for iou, scores in (("segm", [0.9, 0.25]), ("bbox", [0.9, 0.8]), ("keypoints", [0.8])):
        path = tmp_path / f"{iou}.json"
        tally, found = written(output, "coco-results", path, iou=iou)
        assert [one["score"] for one in found] == scores
        (read,) = {len(truth.loadRes(str(path)).anns)}
        assert read == len(scores)
        lost[iou] = tally.sentences()
    assert found[0]["keypoints"] == [value for point in POINTS for value in point]
    left_out = ["the keypoints of 1 mask were left out"]
    assert lost == {
        "segm": left_out,
        "bbox": left_out,
        "keypoints": ["1 mask without keypoints was left out"],
    }


def test_other_formats_count_the_keypoints_they_leave_out(output: Path, tmp_path: Path) -> None:
    for to in ("yolo", "labelme", "cvat", "png", "geojson"):
        tally = FORMATS[to](select(output), tmp_path / f"as-{to}", Choices(images=tmp_path))
        assert "the keypoints of 1 mask were left out" in tally.sentences(), to


def test_the_option_is_for_results_alone(output: Path, tmp_path: Path) -> None:
    command = ["export", str(output), "--to", "coco", "--out", str(tmp_path / "a.json")]
    found = CliRunner().invoke(app, [*command, "--iou", "bbox"])
    assert isinstance(found.exception, UsageError)
    assert "--iou is for --to coco-results" in str(found.exception)


def test_ground_truth_of_coco_is_imported(output: Path, tmp_path: Path) -> None:
    _, document = written(output, "coco", tmp_path / "ann.json")
    person = document["annotations"][1]
    del person["keypoint_scores"], person["mask_score"]
    person["keypoints"] = [1, 2, 2, 4, 3, 1, 0, 0, 0]
    document["annotations"][0]["keypoints"] = [1, 2]
    (tmp_path / "ann.json").write_text(json.dumps(document))
    done = import_annotations(None, tmp_path / "ann.json", tmp_path / "in.parquet")
    assert done.notes == ("invalid keypoints of 1 annotation were ignored",)
    first, second = objects(tmp_path / "in.parquet")
    assert first.keypoints is None
    assert second.keypoints == ((1, 2, 1), (4, 3, 1), (0, 0, 0))


@pytest.mark.parametrize("key", ["mask_score", "keypoint_scores"])
def test_scores_outside_their_range_are_refused_by_name(
    output: Path, tmp_path: Path, key: str
) -> None:
    _, document = written(output, "coco", tmp_path / "ann.json")
    document["annotations"][1][key] = 1.5 if key == "mask_score" else [0.5, 2, 0.5]
    (tmp_path / "ann.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"annotation 2: its .*\[0, 1\]"):
        import_annotations(None, tmp_path / "ann.json", tmp_path / "in.parquet")
    assert not (tmp_path / "in.parquet").exists()
