"""Broken and hostile files: one sentence that names the culprit, never a traceback or a crash."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segcli.annotations.coco import parse_coco
from segcli.errors import UsageError
from segcli.evaluate import Choices, Params, evaluate, evaluate_loaded
from segcli.evaluate.predictions import results_of

TRUTH: dict[str, Any] = {
    "images": [
        {"id": 1, "file_name": "a.jpg", "height": 6, "width": 7},
        {"id": 2, "file_name": "b.jpg", "height": 4, "width": 4},
    ],
    "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}],
    "annotations": [
        {
            "id": 10,
            "image_id": 1,
            "category_id": 1,
            "segmentation": [[1, 1, 5, 1, 5, 4, 1, 4]],
            "bbox": [1, 1, 4, 3],
            "area": 12,
            "iscrowd": 0,
        },
        {
            "id": 11,
            "image_id": 2,
            "category_id": 2,
            "segmentation": {"size": [4, 4], "counts": [2, 6, 8]},
            "bbox": [0, 0, 2, 4],
            "area": 6,
            "iscrowd": 1,
        },
        {
            "id": 12,
            "image_id": 2,
            "category_id": 2,
            "segmentation": {"size": [4, 4], "counts": "268"},
            "bbox": [0, 0, 2, 4],
            "area": 6,
            "iscrowd": 0,
        },
    ],
}
FOUND: list[dict[str, Any]] = [
    {
        "image_id": 1,
        "category_id": 1,
        "score": 0.9,
        "segmentation": [[1, 1, 5, 1, 5, 4, 1, 4]],
        "bbox": [1, 1, 4, 3],
    },
    {
        "image_id": 2,
        "category_id": 2,
        "score": 0.5,
        "segmentation": {"size": [4, 4], "counts": "268"},
        "bbox": [0, 0, 2, 4],
    },
]


def score(truth: Any, found: Any, iou: str) -> dict[str, float]:
    return evaluate_loaded(
        parse_coco(truth, "ann.json", iou=iou),
        results_of(found, "found.json", iou=iou),
        choices=Choices(iou),
        params=Params(),
    ).metrics


def test_the_sound_case() -> None:
    assert score(TRUTH, FOUND, "segm")["AP"] == pytest.approx(1)
    assert score(TRUTH, FOUND, "bbox")["AP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 11}, "annotation 11: the id 11 comes twice"),
        ({"image_id": 5}, "annotation 10: it is of image 5, which the ground truth lacks"),
        ({"category_id": 5}, "annotation 10: it is of category 5"),
        ({"image_id": 1.5}, 'annotation 10: "image_id": 1.5; expected a whole number or a text'),
        ({"image_id": None}, 'annotation 10: "image_id": null; expected a whole number or a text'),
        ({"image_id": True}, 'annotation 10: "image_id": true; expected a whole number or a text'),
        ({"image_id": "a"}, "annotation 10: it is of image a, which the ground truth lacks"),
        ({"image_id": 2**70}, f"annotation 10: it is of image {2**70}, which"),
        ({"area": float("nan")}, 'annotation 10: "area": nan'),
        ({"area": "big"}, 'annotation 10: "area": "big"; expected a number'),
        ({"bbox": [1, 1, float("inf"), 3]}, 'annotation 10: "bbox"'),
        ({"bbox": [1, 1, -4, 3]}, 'annotation 10: "bbox"'),
        ({"bbox": [1, 1, 4]}, 'annotation 10: "bbox"'),
        ({"iscrowd": 2}, 'annotation 10: "iscrowd" must be 0 or 1'),
        ({"segmentation": []}, "annotation 10: its segmentation is empty"),
        ({"segmentation": None}, "annotation 10 has no mask"),
        ({"segmentation": [[1, 1, 5, 1]]}, "annotation 10: a polygon of 4 numbers"),
        ({"segmentation": [[1, 1, 5, 1, 5]]}, "annotation 10: a polygon of 5 numbers"),
        ({"segmentation": [[1, 1, 5, 1, 5, "4px"]]}, "annotation 10: a polygon must be"),
        ({"segmentation": [[1, 1, 5, 1, 5, 1e9]]}, "annotation 10: a polygon with a coordinate"),
        ({"segmentation": [1, 1, 5, 1, 5, [4]]}, "annotation 10: a polygon must be"),
        ({"segmentation": {"size": [7, 6], "counts": "268"}}, "annotation 10: its mask is of size"),
        ({"segmentation": {"size": [6, 7], "counts": "268"}}, "annotation 10: the runs of a mask"),
        ({"segmentation": {"size": [6, 7], "counts": "26o"}}, "annotation 10: "),
        ({"segmentation": {"size": [6, 7], "counts": "é"}}, "annotation 10: "),
        ({"segmentation": {"size": [6, 7], "counts": [2, -3, 43]}}, "the least is -3"),
        ({"segmentation": {"size": [6, 7], "counts": []}}, "annotation 10: its run lengths"),
        ({"segmentation": {"size": [6, 7]}}, "annotation 10: its run lengths"),
    ],
)
def test_a_wrong_annotation_is_named(change: dict[str, Any], message: str) -> None:
    truth = copy.deepcopy(TRUTH)
    truth["annotations"][0] |= change
    with pytest.raises(UsageError) as raised:
        score(truth, FOUND, "bbox" if "bbox" in change else "segm")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": 1.5}, "its score 1.5 is outside [0, 1]"),
        ({"score": float("nan")}, '"score": nan; expected a finite number'),
        ({"score": None}, '"score": null; expected a number'),
        ({"image_id": 77}, "it is of image 77"),
        ({"bbox": [1, float("nan"), 4, 3]}, '"bbox": [1, nan, 4, 3]; expected finite numbers'),
        ({"segmentation": {"size": [6, 7], "counts": "0o0"}}, "detection at place 0: "),
        ({"segmentation": {"size": [600, 700], "counts": "268"}}, "detection at place 0: "),
    ],
)
def test_a_wrong_detection_is_named(change: dict[str, Any], message: str) -> None:
    found = copy.deepcopy(FOUND)
    found[0] |= change
    with pytest.raises(UsageError) as raised:
        score(TRUTH, found, "segm")
    assert message in str(raised.value)


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
@pytest.mark.parametrize("value", [None, 5, {}, [5], [{}]])
def test_missing_lists_and_fields(key: str, value: Any) -> None:
    with pytest.raises(UsageError):
        score({**TRUTH, key: value}, FOUND, "segm")


@pytest.mark.parametrize("size", [{"height": 0}, {"width": -1}, {"height": 2**40, "width": 2**40}])
def test_images_of_impossible_size(size: dict[str, int]) -> None:
    truth = copy.deepcopy(TRUTH)
    truth["images"][0] |= size
    with pytest.raises(UsageError, match="image 1 cannot be"):
        score(truth, FOUND, "segm")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[NaN", b"\xff\xfe", b"[" * 100_000, b'"text"', b"[1, 2]", b"null", b"{}"]
)
def test_files_that_are_no_ground_truth(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "ann.json").write_bytes(text)
    (tmp_path / "found.json").write_text(json.dumps(FOUND))
    with pytest.raises(UsageError):
        evaluate(tmp_path / "ann.json", tmp_path / "found.json")
    (tmp_path / "found.json").write_bytes(text)
    (tmp_path / "ann.json").write_text(json.dumps(TRUTH))
    with pytest.raises(UsageError):
        evaluate(tmp_path / "ann.json", tmp_path / "found.json")


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=6),
    st.lists(st.floats(-50, 50), max_size=9),
    st.lists(st.lists(st.one_of(st.floats(), st.integers(-99, 99)), max_size=9), max_size=3),
    st.dictionaries(st.sampled_from(["size", "counts", "id"]), st.integers(0, 9)),
    st.fixed_dictionaries(
        {
            "size": st.lists(st.integers(-1, 9), min_size=2, max_size=2),
            "counts": st.one_of(st.text(max_size=9), st.lists(st.integers(-2, 50), max_size=6)),
        }
    ),
    st.text("0123456789:;<ABCDo", max_size=9).map(lambda t: {"size": [4, 4], "counts": t}),
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node)
    own = [path] if path else []
    if not isinstance(node, dict | list):
        return own
    return own + [p for key, value in inner for p in places_of(value, (*path, key))]


def places_of(value: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return places(value, path) if isinstance(value, dict | list) else [path]


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
@pytest.mark.slow
def test_thousands_of_mutated_files(data: st.DataObject) -> None:
    """Each has one to three values replaced or removed: a number, or one sentence."""
    both = {"truth": copy.deepcopy(TRUTH), "found": copy.deepcopy(FOUND)}
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([p for p in places(both) if len(p) > 1]))
        node: Any = both
        for step in path[:-1]:
            node = node[step]
        if isinstance(node, dict) and data.draw(st.booleans()):
            del node[path[-1]]
        else:
            node[path[-1]] = data.draw(JUNK)
    iou = data.draw(st.sampled_from(["segm", "bbox"]))
    outcome: float | str
    try:
        outcome = score(both["truth"], both["found"], iou)["AP"]
    except UsageError as error:
        outcome = str(error)
    if isinstance(outcome, str):
        assert outcome.strip()
        assert "\n" not in outcome
    else:
        assert -1 <= outcome <= 1


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_files_with_flipped_bytes(tmp_path: Path, data: st.DataObject) -> None:
    text = bytearray(json.dumps(TRUTH).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "ann.json").write_bytes(text)
    (tmp_path / "found.json").write_text(json.dumps(FOUND))
    complaint = ""
    try:
        evaluate(tmp_path / "ann.json", tmp_path / "found.json")
    except UsageError as error:
        complaint = str(error)
    assert "\n" not in complaint
