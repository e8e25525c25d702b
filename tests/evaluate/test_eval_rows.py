"""Rows of an output as columns, also where a part was tampered with."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segcli.errors import UsageError
from segcli.evaluate import Choices, Params, evaluate_loaded, read_coco
from segcli.evaluate.predictions import Rows, read_rows
from segcli.masks import rle
from segcli.masks.batch import Masks, measure
from segcli.store import MinScores, Settings, open_output, schema
from segcli.store.image_masks import read_image_masks
from segcli.store.part_file import read_footer, write_part
from segcli.types import Record, Sample, Segment

NAMES, IDS = ("car", "bus"), (3, 7)
TEXT = rle.encode(np.pad(np.ones((2, 3), bool), 1))  # in an image of 4 x 5 px


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Two masks in a.jpg, none in b.jpg, one in a frame; broken.jpg failed."""
    good, poor = (Segment(k, s, (1.0, 1.0, 3.0, 2.0), 6, TEXT) for k, s in ((1, 0.9), (0, 0.4)))
    records = [
        Record(Sample("x/a.jpg", ""), 4, 5, [good, poor]),
        Record(Sample("b\\#1.jpg", ""), 4, 5),
        Record(Sample("broken.jpg", ""), None, None, (), "truncated"),
        Record(Sample("v.mp4#frame=7", "", frame=7, time_s=0.2), 4, 5, [poor]),
    ]
    path = tmp_path / "masks.parquet"
    with open_output(path, Settings({}, {}), carried={}, categories=(NAMES, IDS)) as opened:
        opened.commit(records[:3])
        opened.commit(records[3:])
    return path


def test_what_is_read(output: Path) -> None:
    rows = read_rows(output)
    order = [rows.keys.index(k) for k in ("x/a.jpg", "b\\#1.jpg", "broken.jpg", "v.mp4#frame=7")]
    assert [rows.names[i] for i in order] == ["x/a.jpg", "b#1.jpg", "broken.jpg", "v.mp4#frame=7"]
    assert [rows.reasons[i] for i in order] == [None, None, "truncated", None]
    assert rows.sizes[order].tolist() == [[4, 5], [4, 5], [0, 0], [4, 5]]
    assert rows.vocabulary == (("car", 3), ("bus", 7))
    found = sorted(
        (rows.keys[i], rows.vocabulary[k][0], score)
        for i, k, score in zip(rows.image, rows.category, rows.scores, strict=True)
    )
    assert found == [
        ("v.mp4#frame=7", "car", 0.4),
        ("x/a.jpg", "bus", 0.9),
        ("x/a.jpg", "car", 0.4),
    ]
    assert rows.boxes.tolist() == [[1, 1, 3, 2]] * 3
    assert rows.masks is not None
    assert rows.masks.texts() == [TEXT] * 3
    assert read_rows(output, iou="bbox").masks is None


def test_masks_are_ranked_by_their_own_score_and_boxes_by_that_of_the_class(tmp_path: Path) -> None:
    box = (1.0, 1.0, 3.0, 2.0)
    rated = Segment(0, 0.9, box, 6, TEXT, mask_score=0.3)
    plain = Segment(0, 0.8, box, 6, TEXT)
    path = tmp_path / "rated.parquet"
    with open_output(path, Settings({}, {}), carried={}, categories=(NAMES, IDS)) as opened:
        opened.commit([Record(Sample("a.jpg", ""), 4, 5, [rated, plain])])
    assert read_rows(path).scores.tolist() == [0.3, 0.8]
    assert read_rows(path, iou="boundary").scores.tolist() == [0.3, 0.8]
    assert read_rows(path, iou="bbox").scores.tolist() == [0.9, 0.8]


def test_an_output_without_the_newer_columns_is_read(output: Path) -> None:
    expected = sorted(read_rows(output).scores.tolist())
    for part in output.glob("*.parquet"):
        old, footer = pq.read_table(part).select(schema({}, 2).names), read_footer(part)
        part.unlink()
        write_part(part, old, replace(footer, schema_version=2))
    assert sorted(read_rows(output).scores.tolist()) == expected
    masks = [
        one for image in read_image_masks(output, min_score=MinScores(0)) for one in image.masks
    ]
    assert len(masks) == len(expected)
    assert {(one.mask_score, one.keypoints) for one in masks} == {(None, None)}


def test_an_output_without_any_mask(tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    with open_output(path, Settings({}, {}), carried={}, categories=(NAMES, IDS)) as opened:
        opened.commit([Record(Sample("a.jpg", ""), 4, 5)])
    rows = read_rows(path)
    assert (rows.keys, len(rows.scores), rows.boxes.shape) == (("a.jpg",), 0, (0, 4))


def tampered(output: Path, column: str, change: Any) -> Path:
    """`change` is given the values of a column of every part, and gives others."""
    for part in output.iterdir():
        old = pq.read_table(part)[column]
        tampered_with(part, column, pa.array(change(old.to_pylist()), old.type))
    return output


def tampered_with(part: Path, column: str, values: pa.Array) -> None:
    table = pq.read_table(part)
    at = table.schema.get_field_index(column)
    facts = {k: v for k, v in pq.read_metadata(part).metadata.items() if b"ARROW" not in k}
    table = table.set_column(at, table.schema.field(column), values)
    pq.write_table(table.replace_schema_metadata(facts), part)


def first_only(values: list[Any], new: Any) -> list[Any]:
    """Instead of the first value that there is."""
    at = next((i for i, value in enumerate(values) if value is not None), None)
    return [new if i == at else value for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("column", "new", "message"),
    [
        ("category", None, "a mask of the category None, which the output does not list"),
        ("category", "tram", "a mask of the category 'tram'"),
        ("bbox", None, "finite px"),
        ("bbox", {"x": 1.0, "y": None, "w": 1.0, "h": 1.0}, "finite px"),
        ("bbox", {"x": 1.0, "y": float("inf"), "w": 1.0, "h": 1.0}, "finite px"),
        ("bbox", {"x": 1.0, "y": 1.0, "w": -1.0, "h": 1.0}, "finite px"),
        ("score", 7.0, "has the score 7.0"),
        ("score", float("nan"), "has the score nan"),
        ("rle", None, "no run lengths"),
        ("rle", b"", "no run lengths"),
        ("rle", b"\xff\xff", "cannot occur"),
        ("rle", TEXT + b"1", "the runs of a mask sum to"),
    ],
)
def test_a_tampered_row_is_named(
    output: Path, tmp_path: Path, column: str, new: Any, message: str
) -> None:
    tampered(output, column, lambda values: first_only(values, new))
    (tmp_path / "ann.json").write_text(
        '{"images": [{"id": 1, "file_name": "x/a.jpg", "height": 4, "width": 5},'
        ' {"id": 2, "file_name": "v.mp4#frame=7", "height": 4, "width": 5}],'
        ' "categories": [{"id": 3, "name": "car"}, {"id": 7, "name": "bus"}], "annotations": []}'
    )
    with pytest.raises(UsageError, match=message):
        evaluate_loaded(
            read_coco(tmp_path / "ann.json"),
            read_rows(output),
            choices=Choices(),
            params=Params(),
        )


@pytest.mark.parametrize(
    ("column", "kind"),
    [("score", pa.float32()), ("rle", pa.large_binary())],
)
def test_columns_of_another_type_are_refused(output: Path, column: str, kind: Any) -> None:
    for part in output.iterdir():
        table = pq.read_table(part)
        facts = {k: v for k, v in pq.read_metadata(part).metadata.items() if b"ARROW" not in k}
        at = table.schema.get_field_index(column)
        table = table.set_column(at, column, table[column].cast(kind))
        with pq.ParquetWriter(part, table.schema) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata(facts)
    with pytest.raises(UsageError, match=f"the column {column} is of the type {kind}"):
        read_rows(output)


def test_a_text_that_is_none(output: Path) -> None:
    for part in output.iterdir():
        data = pq.read_table(part)["key"].combine_chunks()
        bad = pa.StringArray.from_buffers(
            len(data), data.buffers()[1], pa.py_buffer(b"\xff" * data.buffers()[2].size)
        )
        tampered_with(part, "key", bad)
    with pytest.raises(UsageError, match="not UTF-8"):
        read_rows(output)


def test_masks_where_no_score_is_do_not_count(output: Path) -> None:
    rows: Rows = read_rows(tampered(output, "score", lambda values: [None] * len(values)))
    assert (len(rows.keys), len(rows.scores)) == (4, 0)
    assert rows.masks is not None
    assert not rows.masks.data.size


@pytest.mark.parametrize("seed", range(30))
def test_long_texts_get_the_verdict_of_the_careful_check(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many runs, large images, several blocks, and numbers that would overflow a careless sum."""
    monkeypatch.setattr("segcli.masks.batch._TEXT_AT_ONCE", 200)
    r = random.Random(seed)
    texts, sizes, verdicts = [], [], []
    for _ in range(40):
        height, width = r.choice([(9, 11), (300, 400), (65_535, 65_537)])
        mask = [r.randint(0, height * width // 8) for _ in range(r.randint(0, 7))]
        text = rle.compress(np.array([*mask, height * width - sum(mask)]))
        if r.random() < 0.3:
            damage = r.choice([b"oooooo?", b"PPPPPP0", b"ooooooo0", b"0", b"o", b"P", b""])
            at = r.randrange(len(text) + 1)
            text = text[:at] + damage + text[at + r.randint(0, 2) :]
        texts.append(text)
        sizes.append((height, width))
        try:
            verdicts.append(rle.area(text, height, width))
        except UsageError:
            verdicts.append(-1)
    whole = [i for i, verdict in enumerate(verdicts) if verdict >= 0]
    areas = measure(
        Masks.of([texts[i] for i in whole]), np.array([sizes[i] for i in whole]), name=str
    )
    assert areas.tolist() == [verdicts[i] for i in whole]
    for i in set(range(40)) - set(whole):
        mixed = [*whole[:3], i, *whole[3:6]]
        with pytest.raises(UsageError, match="^3: "):
            measure(
                Masks.of([texts[k] for k in mixed]), np.array([sizes[k] for k in mixed]), name=str
            )


def test_parts_with_changed_bytes(output: Path) -> None:
    """Rows, or one sentence; never a crash and never another exception."""
    parts = {part: part.read_bytes() for part in sorted(output.iterdir())}
    told = []
    for seed in range(300):
        r = random.Random(seed)
        part, whole = r.choice(list(parts.items()))
        text = bytearray(whole)
        for _ in range(r.randint(1, 5)):
            text[r.randrange(len(text))] = r.randrange(256)
        part.write_bytes(text)
        try:
            rows = read_rows(output)
            assert rows.masks is not None
            measure(rows.masks, rows.sizes[rows.image], name=str)
        except UsageError as error:
            told.append(str(error))
        part.write_bytes(whole)
    assert len(told) > 100
    assert not [sentence for sentence in told if "\n" in sentence]
