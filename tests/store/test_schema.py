import subprocess
import sys
from dataclasses import replace

import pyarrow as pa
import pytest

from segcli.store import schema, table

CATEGORIES = (("person", "car"), (1, 3))


def test_one_row_per_mask_and_one_per_image_without(record):
    rows = table(
        [record("a", 2), record("b", 0), record("c", error="truncated"), record("d", 1)],
        schema({}),
        CATEGORIES,
    ).to_pydict()
    assert rows["key"] == ["a", "a", "b", "c", "d"]
    assert rows["status"] == ["ok", "ok", "ok", "failed", "ok"]
    assert rows["error"] == [None, None, None, "truncated", None]
    assert rows["height"] == [48, 48, 48, None, 48]
    assert rows["width"] == [64, 64, 64, None, 64]
    assert rows["masks"] == [2, 2, 0, None, 1]
    assert rows["mask"] == [0, 1, None, None, 0]
    assert rows["category"] == ["person", "car", None, None, "person"]
    assert rows["category_id"] == [1, 3, None, None, 1]
    assert rows["score"] == [0.9, 0.8, None, None, 0.9]
    assert rows["bbox"][1] == {"x": 1.0, "y": 2.0, "w": 4.0, "h": 4.0}
    assert rows["bbox"][2] is None
    assert rows["area"] == [5, 6, None, None, 5]
    assert rows["rle"] == [b"rle0", b"rle1", None, None, b"rle0"]
    assert rows["size_bytes"] == [100] * 5
    assert rows["mtime_ns"] == [1] * 5


def test_the_schema_is_the_same_whatever_the_records(record):
    columns = schema({"camera": pa.string()})
    for records in ([record("a", 3, camera="x")], [record("b", 0)], [record("c", error="bad")], []):
        assert table(records, columns, CATEGORIES).schema == columns


def test_columns_and_types():
    assert {f.name: str(f.type) for f in schema({"camera": pa.int16()})} == {
        "key": "string",
        "status": "string",
        "error": "string",
        "height": "int32",
        "width": "int32",
        "masks": "int32",
        "size_bytes": "int64",
        "mtime_ns": "int64",
        "frame": "int64",
        "time_s": "double",
        "warning": "string",
        "repeats": "string",
        "view": "struct<light: float, contrast: float, detail: float, hash: int64>",
        "src_camera": "int16",
        "mask": "int32",
        "category_id": "int32",
        "category": "string",
        "score": "double",
        "bbox": "struct<x: double, y: double, w: double, h: double>",
        "area": "int64",
        "rle": "binary",
        "mask_score": "double",
        "track_id": "int64",
        "zones": "list<element: string>",
        "keypoints": "list<element: struct<x: double, y: double, score: double>>",
    }


def test_a_static_frame_has_a_row_that_names_the_frame_it_repeats(record):
    frames = [record("a#frame=0", 1), replace(record("a#frame=1", 0), repeats="a#frame=0")]
    rows = table(frames, schema({}), CATEGORIES).to_pydict()
    assert rows["status"] == ["ok", "static"]
    assert rows["repeats"] == [None, "a#frame=0"]
    assert rows["masks"] == [1, None]
    assert rows["mask"] == [0, None]


def test_what_some_models_and_passes_add_to_a_mask(record):
    image = record("a", 2)
    first = replace(
        image.segments[0], mask_score=0.5, track_id=7, zones=("door",), keypoints=((1, 2, 0.5),)
    )
    rows = table([replace(image, segments=[first, image.segments[1]])], schema({}), CATEGORIES)
    assert rows["mask_score"].to_pylist() == [0.5, None]
    assert rows["track_id"].to_pylist() == [7, None]
    assert rows["zones"].to_pylist() == [["door"], None]
    assert rows["keypoints"].to_pylist() == [[{"x": 1, "y": 2, "score": 0.5}], None]


def test_an_output_without_mask_scores_has_them_as_its_scores(record):
    image = record("a", 2)
    rated = replace(image.segments[0], mask_score=0.25)
    rows = table([replace(image, segments=[rated, image.segments[1]])], schema({}, 2), CATEGORIES)
    assert rows["score"].to_pylist() == [0.25, image.segments[1].score]


def test_an_older_schema_lacks_the_columns_of_later_ones():
    newer = {"repeats", "view", "mask_score", "track_id", "zones", "keypoints"}
    assert set(schema({}).names) - set(schema({}, 2).names) == newer
    assert set(schema({}, 2).names) - set(schema({}, 1).names) == {"warning"}


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (pa.dictionary(pa.int8(), pa.string()), pa.string()),
        (pa.null(), pa.string()),
        (pa.list_(pa.int64()), pa.list_(pa.field("element", pa.int64()))),
        (pa.timestamp("us", "UTC"), pa.timestamp("us", "UTC")),
    ],
)
def test_carried_types_are_stored_plainly(given, stored):
    assert schema({"x": given}).field("src_x").type == stored


def test_carried_values_ride_along_and_may_be_absent(record):
    rows = table(
        [record("a", 2, camera="north"), record("b")], schema({"camera": pa.string()}), CATEGORIES
    )
    assert rows["src_camera"].to_pylist() == ["north", "north", None]


def test_a_reason_that_quotes_bytes_is_text(record):
    rows = table([record("a", error="no file caf\udce9.jpg")], schema({}), CATEGORIES)
    assert rows["error"].to_pylist() == ["no file caf\\udce9.jpg"]


@pytest.mark.slow
def test_a_process_of_ours_makes_arrays_without_pandas():
    code = (
        "import sys; from segcli.store import get_ready; get_ready(); import pyarrow as pa;"
        "print(pa.array([1, 2]).to_pylist(), 'pandas' in sys.modules); import pandas"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[1, 2] False\n"
