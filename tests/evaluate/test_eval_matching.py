"""Which row belongs to which image, and what is said of those that have no partner."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcli.annotations.coco import parse_coco
from segcli.errors import UsageError
from segcli.evaluate import Choices, Evaluation, Params, evaluate, evaluate_loaded, read_found
from segcli.evaluate.matching_summary import sentences
from segcli.masks import rle
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

TALL, WIDE = 8, 10
MASK = np.zeros((TALL, WIDE), bool)
MASK[1:5, 2:8] = True


def output(
    path: Path,
    keys: list[str],
    *,
    size: tuple[int, int] = (TALL, WIDE),
    names: tuple[str, ...] = ("car",),
    failed: tuple[str, ...] = (),
    **compared: Any,
) -> Path:
    """One right mask on every image that did not fail."""
    mask = MASK if size == (TALL, WIDE) else np.kron(MASK, np.ones((2, 2), bool))[: size[0]]
    mask = mask[:, : size[1]]
    text = rle.encode(mask)
    box = rle.to_box(text, *mask.shape)
    segment = Segment(0, 0.9, box, int(mask.sum()), text)
    records = [Record(Sample(key, key), *size, [segment]) for key in keys if key not in failed]
    records += [Record(Sample(key, key), None, None, (), "truncated") for key in failed]
    ids = tuple(range(3, 3 + len(names)))
    settings = Settings({"source_root": "/a", **compared}, {"default_score": 0.5})
    with open_output(path, settings, carried={}, categories=(names, ids)) as opened:
        opened.commit(records)
    return path


def truth(names: list[str], category: str = "car", number: int = 3) -> Any:
    return parse_coco(
        {
            "images": [
                {"id": i, "file_name": name, "height": TALL, "width": WIDE}
                for i, name in enumerate(names, 1)
            ],
            "categories": [
                {"id": number, "name": category},
                {"id": 9, "name": "Traffic Lights"},
            ],
            "annotations": [
                {
                    "id": i,
                    "image_id": i,
                    "category_id": number,
                    "segmentation": {
                        "size": [TALL, WIDE],
                        "counts": rle.encode(MASK).decode(),
                    },
                    "area": 24,
                    "iscrowd": 0,
                }
                for i in range(1, len(names) + 1)
            ],
        },
        "ann.json",
    )


def run(known: Any, path: Path, **choices: Any) -> Evaluation:
    return evaluate_loaded(known, read_found(path), choices=Choices(**choices), params=Params())


def test_by_relative_path(tmp_path: Path) -> None:
    names = ["cam1/a.jpg", "cam2/a.jpg"]
    found = run(truth(names), output(tmp_path / "m.parquet", names))
    assert found.matching.images_by == "relative path"
    assert found.metrics["AP"] == pytest.approx(1)


def test_by_file_name_where_it_is_unique(tmp_path: Path) -> None:
    path = output(tmp_path / "m.parquet", ["deep/er/a.jpg", "b.jpg"])
    found = run(truth(["train/a.jpg", "b.jpg"]), path)
    assert found.matching.images_by == "relative path or file name"
    assert found.metrics["AP"] == pytest.approx(1)


def test_ambiguous_names_are_never_guessed(tmp_path: Path) -> None:
    path = output(tmp_path / "m.parquet", ["x/a.jpg", "y/a.jpg", "b.jpg"])
    with pytest.raises(UsageError, match=r"1 of 2 images .* have a file name of several"):
        run(truth(["a.jpg", "b.jpg"]), path)
    found = run(truth(["a.jpg", "b.jpg"]), path, missing="ignore")
    assert found.matching.ambiguous == ("a.jpg",)
    assert found.matching.without_truth == ("x/a.jpg", "y/a.jpg")


def test_escaped_names_are_matched_as_they_are_on_disk(tmp_path: Path) -> None:
    path = output(tmp_path / "m.parquet", ["a\\#1.jpg"])
    assert run(truth(["a#1.jpg"]), path).metrics["AP"] == pytest.approx(1)


@pytest.mark.parametrize(("missing", "recall"), [("ignore", 1.0), ("count", 0.5)])
def test_never_predicted_is_the_users_choice(tmp_path: Path, missing: str, recall: float) -> None:
    known, path = truth(["a.jpg", "b.jpg"]), output(tmp_path / "m.parquet", ["a.jpg"])
    with pytest.raises(UsageError, match=r"1 of 2 images .* b\.jpg; predict them, or"):
        run(known, path)
    found = run(known, path, missing=missing)
    assert found.metrics["AR100"] == pytest.approx(recall)
    assert "1 image of the ground truth was never predicted" in "\n".join(
        sentences(found.matching, missing=missing)
    )


def test_failed_images_count_unless_ignored(tmp_path: Path) -> None:
    known = truth(["a.jpg", "b.jpg"])
    path = output(tmp_path / "m.parquet", ["a.jpg"], failed=("b.jpg",))
    assert run(known, path).metrics["AR100"] == pytest.approx(0.5)
    found = run(known, path, missing="ignore")
    assert found.metrics["AR100"] == pytest.approx(1)
    assert found.matching.failed == (("b.jpg", "truncated"),)
    assert "1 image failed in the run, left out: b.jpg (truncated)" in sentences(
        found.matching, missing="ignore"
    )


def test_nothing_in_common(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"no image .* such as 'a\.jpg', the output such as 'z\.jpg'"
    ):
        run(truth(["a.jpg"]), output(tmp_path / "m.parquet", ["z.jpg"]))


def test_categories_by_name_whatever_their_ids(tmp_path: Path) -> None:
    path = output(tmp_path / "m.parquet", ["a.jpg"], names=(" Car",))
    found = run(truth(["a.jpg"], number=77), path)
    assert found.matching.categories_by == "name"
    assert [one.name for one in found.classes] == ["car"]
    assert found.metrics["AP"] == pytest.approx(1)


def test_categories_by_id_where_no_name_agrees(tmp_path: Path) -> None:
    path = output(tmp_path / "m.parquet", ["a.jpg"], names=("voiture",))
    found = run(truth(["a.jpg"]), path)
    assert found.matching.categories_by == "id"
    assert found.metrics["AP"] == pytest.approx(1)


def test_categories_without_partner_get_a_near_name(tmp_path: Path) -> None:
    path = output(tmp_path / "m.parquet", ["a.jpg"], names=("car", "traffic light"))
    found = run(truth(["a.jpg"]), path)
    assert found.matching.truth_only == (("Traffic Lights", "traffic light"),)
    assert found.matching.run_only == (("traffic light", "Traffic Lights"),)
    told = "\n".join(sentences(found.matching))
    assert "traffic light (like Traffic Lights?)" in told


def test_only_what_was_looked_for_counts(tmp_path: Path) -> None:
    names = ("car", "Traffic Lights")
    asked = output(tmp_path / "m.parquet", ["a.jpg"], names=names, categories=["car"])
    assert [one.name for one in run(truth(["a.jpg"]), asked).classes] == ["car"]
    everything = run(truth(["a.jpg"]), asked, categories=("all",))
    assert [one.name for one in everything.classes] == ["car", "Traffic Lights"]
    one = run(truth(["a.jpg"]), asked, categories=("traffic_lights",))
    assert [one.name for one in one.classes] == ["Traffic Lights"]
    with pytest.raises(UsageError, match="did you mean 'car'"):
        run(truth(["a.jpg"]), asked, categories=("cars",))


def test_sizes_that_differ_are_an_error_or_stretched(tmp_path: Path) -> None:
    path = output(tmp_path / "m.parquet", ["a.jpg"], size=(2 * TALL, 2 * WIDE))
    with pytest.raises(UsageError, match="8 x 10 px in the ground truth and 16 x 20 px"):
        run(truth(["a.jpg"]), path)
    found = run(truth(["a.jpg"]), path, rescale=True)
    assert found.metrics["AP"] == pytest.approx(1)
    assert found.case.areas.tolist() == [24]
    assert found.case.boxes.tolist() == [[2, 1, 6, 4]]
    assert found.matching.rescaled == ("a.jpg",)


def test_swapped_sides_point_to_exif(tmp_path: Path) -> None:
    path = output(tmp_path / "m.parquet", ["a.jpg"], size=(WIDE, TALL))
    for rescale in (False, True):
        with pytest.raises(UsageError, match="EXIF"):
            run(truth(["a.jpg"]), path, rescale=rescale)


def test_a_damaged_mask_of_an_output_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    segment = Segment(0, 0.9, (0.0, 0.0, 1.0, 1.0), 1, b"0o")
    with open_output(path, Settings({}, {}), carried={}, categories=(("car",), (3,))) as opened:
        opened.commit([Record(Sample("a.jpg", "a.jpg"), TALL, WIDE, [segment])])
    with pytest.raises(UsageError, match=r"a mask of 'a\.jpg': "):
        run(truth(["a.jpg"]), path)


def persons(*names: str) -> dict[str, Any]:
    """An image for each of the categories, which are called `names` and have the ids 1, 2, ..."""
    count = range(1, len(names) + 1)
    mask = {"size": [TALL, WIDE], "counts": rle.encode(MASK).decode()}
    return {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": TALL, "width": WIDE} for i in count
        ],
        "categories": [{"id": i, "name": name} for i, name in zip(count, names, strict=True)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": i, "segmentation": mask, "area": 24}
            for i in count
        ],
    }


def test_categories_of_one_name_are_refused_or_merged(tmp_path: Path) -> None:
    gt, keys = tmp_path / "gt.json", ["1.jpg", "2.jpg", "3.jpg"]
    gt.write_text(json.dumps(persons("person", "car", "person")))
    pred = output(tmp_path / "m.parquet", keys, names=("Person",))
    with pytest.raises(UsageError, match=r"'Person' \(ids 1, 3\); give `merge_categories=True`"):
        evaluate(gt, pred)
    found = evaluate(gt, pred, choices=Choices(merge_categories=True))
    (one,) = found.classes
    assert (one.name, one.objects, one.detections) == ("person", 2, 3)
    assert found.metrics["AR100"] == pytest.approx(1)
    assert "1 category was merged with another one of its name" in sentences(
        found.matching, missing="error"
    )


def test_results_name_merged_categories_by_any_of_their_ids(tmp_path: Path) -> None:
    document = persons("person", "car", "Person ")
    gt, results = tmp_path / "gt.json", tmp_path / "results.json"
    gt.write_text(json.dumps(document))
    items = [{**one, "score": 0.9} for one in document["annotations"]]
    results.write_text(json.dumps(items))
    apart = evaluate(gt, results)  # the ids say which is which
    assert [one.name for one in apart.classes] == ["person", "car", "Person "]
    found = evaluate(gt, results, choices=Choices(merge_categories=True))
    assert [(one.name, one.detections) for one in found.classes] == [("person", 2), ("car", 1)]
    assert found.metrics["AP"] == pytest.approx(1)
    assert found.matching.not_counted == 0
