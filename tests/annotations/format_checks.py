"""Readers of annotations against what independent readers make of the same files.

The files are drawn in the dialects of CVAT, Label Studio, Roboflow, labelme 3 to 5, Supervisely,
FiftyOne and people with scripts; or they are damaged, and must be read or refused in words.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

sys.path.insert(0, str(Path(__file__).resolve().parent))
from dialects import CocoWriter, Mask, coco_files, damaged, evaluations, scenes  # noqa: E402
from dialects_labelme import labelme_folders  # noqa: E402
from dialects_yolo import yolo_folders  # noqa: E402

sys.path.pop(0)

from segcli.annotations.coco import read_coco  # noqa: E402
from segcli.annotations.coco_records import read_coco_records  # noqa: E402
from segcli.annotations.labelme import read_labelme  # noqa: E402
from segcli.annotations.records import Annotations  # noqa: E402
from segcli.annotations.yolo import read_yolo  # noqa: E402
from segcli.errors import SegcliError  # noqa: E402
from segcli.evaluate import score_records  # noqa: E402
from segcli.masks import rle  # noqa: E402


def masks_of(found: Annotations) -> Counter[Mask]:
    names = found.categories[0]
    return Counter(
        (record.sample.key, names[one.label], _pixels(one.rle, record.height, record.width))
        for record in found.records
        for one in record.segments
    )


def _pixels(text: bytes, height: int | None, width: int | None) -> bytes:
    assert height is not None
    assert width is not None
    return rle.decode(text, height, width).tobytes()


def folder() -> Any:
    return tempfile.TemporaryDirectory(prefix="segcli-formats-")


def check_coco(case: Any) -> None:
    scene, data = case
    with folder() as home:
        path = Path(home) / "ann.json"
        path.write_bytes(data)
        assert masks_of(read_coco_records(path)) == scene.masks()
        keys = [record.sample.key for record in read_coco_records(path).records]
        assert sorted(keys) == sorted(key for key, _, _ in scene.images)
        truth = read_coco(path, need_masks=False, lenient=True)  # as train reads it
        assert sum(outline is not None for outline in truth.outlines) == len(scene.things)


def check_evaluation(case: Any) -> None:
    dialect, found, truth, plain = case
    if not found:
        return
    expected = by_pycocotools(truth, plain)
    for engine in ("fast", "pycocotools"):
        metrics = score_records(found, dialect, engine=engine).metrics
        assert list(metrics.values()) == pytest.approx(expected, abs=1e-9)


def by_pycocotools(truth: Any, found: Any) -> list[float]:
    with redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = truth
        known.createIndex()
        evaluator = COCOeval(known, known.loadRes(found), "segm")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(value) for value in evaluator.stats]


def check_yolo(case: Any) -> None:
    with folder() as home:
        case.write(Path(home))
        assert masks_of(read_yolo(Path(home))) == case.masks()
        found = read_yolo(Path(home))
        assert sorted(record.sample.key for record in found.records) == sorted(case.keys.values())


def check_labelme(case: Any) -> None:
    with folder() as home:
        case.write(Path(home))
        found = read_labelme(Path(home))
        assert masks_of(found) == case.masks
        assert found.notes["{} shapes without a label were left out"] == sum(
            one["label"] is None for file in case.files.values() for one in shapes_of(file)
        )


def shapes_of(data: bytes) -> list[Any]:
    return json.loads(data.decode(json.detect_encoding(data))).get("shapes", [])


@st.composite
def broken(draw: Any) -> tuple[str, Any]:
    """A file of which values have been replaced."""
    kind = draw(st.sampled_from(["coco", "labelme", "yolo"]))
    if kind == "coco":
        return kind, damaged(CocoWriter(draw, draw(scenes())).document(), draw)
    if kind == "labelme":
        case = draw(labelme_folders())
        name, data = draw(st.sampled_from(sorted(case.files.items())))
        document = damaged(json.loads(data.decode(json.detect_encoding(data))), draw)
        return kind, (case, {**case.files, name: json.dumps(document).encode()})
    case = draw(yolo_folders())
    name = draw(st.sampled_from(sorted(case.files)))
    data = case.files[name]
    at = draw(st.integers(0, len(data)))
    piece = draw(
        st.sampled_from([b"", b"\0", b"\xff", b"nan", b"-", b": [", b"1e999", b"\n", b" 5"])
    )
    return kind, (
        case,
        {**case.files, name: data[:at] + piece + data[at + draw(st.integers(0, 3)) :]},
    )


def check_damaged(case: Any) -> None:
    kind, content = case
    with folder() as home:
        for reading in _readings(kind, content, Path(home)):
            with suppress(SegcliError):  # in words; everything else is a mistake of ours
                masks_of(reading())


def _readings(kind: str, content: Any, home: Path) -> Iterator[Any]:
    if kind == "coco":
        path = home / "ann.json"
        path.write_text(json.dumps(content))
        yield lambda: read_coco_records(path)
        yield lambda: read_coco_records(path, images=home, merge_categories=True)
        yield lambda: _none(read_coco(path), read_coco(path, iou="bbox"))
        return
    case, files = content
    object.__setattr__(case, "files", files)
    case.write(home)
    yield lambda: (read_labelme if kind == "labelme" else read_yolo)(home)


def _none(*read: Any) -> Annotations:
    return Annotations("", ((), ()), iter(()))


CHECKS = {
    "evaluation": (evaluations(), check_evaluation),
    "coco": (coco_files(), check_coco),
    "yolo": (yolo_folders(), check_yolo),
    "labelme": (labelme_folders(), check_labelme),
    "damaged": (broken(), check_damaged),
}


def run(name: str, *, examples: int, number: int | None = None) -> None:
    """Draw so many files of one kind, by the seed `number`, and check what is read from them."""
    strategy, check = CHECKS[name]
    test = given(strategy)(check)
    if number is not None:
        test = seed(number)(test)
    settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )(test)()
