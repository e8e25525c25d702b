"""The numbers of a model card equal the evaluator's, and their intervals enclose them."""

import json

import numpy as np
import pytest

from scripts.studies.model_card import Line, lines_of, markdown
from segcli.evaluate import score_records
from segcli.masks import rle
from segcli.train.sources import Validation


def square(x: int, side: int) -> dict:
    mask = np.zeros((40, 40), dtype=bool)
    mask[5 : 5 + side, x : x + side] = True
    return {"size": [40, 40], "counts": rle.encode(mask).decode()}


@pytest.fixture
def case(tmp_path):
    """Twelve images with a cat each, a dog in every other, and detections of all qualities."""
    rng = np.random.default_rng(0)
    annotations, found = [], []
    for image in range(12):
        for category, x in ((17, 3), (18, 22))[: 1 + image % 2]:
            entry = {"image_id": image, "category_id": category, "segmentation": square(x, 14)}
            entry |= {"id": len(annotations) + 1, "area": 196, "bbox": [x, 5, 14, 14]}
            annotations.append({**entry, "iscrowd": int(image == 5 and category == 17)})
            for _ in range(2):
                shifted = square(x + int(rng.integers(-2, 4)), 14)
                mask = {"segmentation": shifted, "score": float(rng.random())}
                found.append({"image_id": image, "category_id": category, **mask})
    names = {17: "cat", 18: "dog", 19: "ox"}
    content = {
        "images": [{"id": i, "file_name": str(i), "height": 40, "width": 40} for i in range(12)],
        "categories": [{"id": number, "name": name} for number, name in names.items()],
        "annotations": annotations,
    }
    path = tmp_path / "ann.json"
    path.write_text(json.dumps(content))
    return found, path


def test_values_are_the_evaluators_and_lie_inside_their_intervals(case, tmp_path) -> None:
    found, path = case
    lines = lines_of(found, Validation("val", tmp_path, path), ("dog", "cat", "bird", "ox"), 200)
    assert [(line.name, line.objects) for line in lines] == [("dog", 6), ("cat", 11)]
    wanted = {one.name: one for one in score_records(found, path).classes}
    for line in lines:
        assert line.ap == pytest.approx(wanted[line.name].ap)
        assert line.ap50 == pytest.approx(wanted[line.name].ap50)
        assert line.ap_low < line.ap < line.ap_high
        assert line.ap50_low <= line.ap50 <= line.ap50_high


def test_nothing_found_is_zero(case, tmp_path) -> None:
    validation = Validation("val", tmp_path, case[1], frozenset({"cat"}))
    (line,) = lines_of([], validation, ("cat", "dog"), 20)
    assert (line.ap, line.ap50, line.objects) == (0.0, 0.0, 11)


def test_the_table_is_markdown() -> None:
    lines = [Line("val", "cat", 3, 0.5, 0.4, 0.6, 0.8, 0.7, 0.9)]
    assert "| val | cat | 3 | 0.500 (0.400 to 0.600) | 0.800 (0.700 to 0.900) |" in markdown(lines)
