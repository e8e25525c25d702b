"""A model's score for each category: from the header of its weights to every reader."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segcli import store
from segcli.annotations.selection import select
from segcli.masks import rle
from segcli.models import checkpoint
from segcli.stats import StatsOptions, compare, statistics
from segcli.store import MinScores, Settings, min_scores, open_output
from segcli.store.query import Rows
from segcli.types import ModelInfo, Record, Resize, Sample, Segment
from segcli.viz import Wanted, find

CATEGORIES = (("cat", "dog", "it's"), (17, 18, 19))
SCORES = {"cat": 0.3, "it's": 0.7}


def an_output(path: Path, recorded: dict) -> Path:
    """Each category has masks of the scores 0.2, 0.4, 0.6 and 0.8."""
    mask = rle.encode(np.ones((4, 4), bool))
    scores = [(label, score) for score in (0.8, 0.6, 0.4, 0.2) for label in range(3)]
    segments = [Segment(label, score, (0, 0, 4, 4), 16, mask) for label, score in scores]
    settings = Settings({"source_root": "/archive"}, recorded)
    with open_output(path, settings, carried={}, categories=CATEGORIES) as output:
        output.commit([Record(Sample("a.jpg", "a.jpg", size_bytes=1, mtime_ns=1), 4, 4, segments)])
    return path


@pytest.fixture
def masks(tmp_path) -> Path:
    recorded = {"default_score": 0.5, "default_scores": SCORES}
    return an_output(tmp_path / "masks.parquet", recorded)


def counts_of_all_readers(masks: Path, asked: float | None) -> list[dict[str, int]]:
    found = statistics(StatsOptions(masks=masks, min_score=asked))
    counts = [{row["category"]: row["masks"] for row in found.classes}]
    cut = min_scores(store.read_settings(masks), asked)
    with Rows(store.part_paths(masks)) as rows:
        names = [
            mask.category for image in find(rows, Wanted(min_score=cut)) for mask in image.masks
        ]
    counts.append({name: names.count(name) for name in set(names)})
    selection = select(masks, min_score=asked)
    labels = [mask.category for image in selection.with_masks() for mask in image.masks]
    counts.append({name: labels.count(name) for name in set(labels)})
    return counts


def test_all_readers_show_a_category_from_its_own_score_on(masks) -> None:
    for counts in counts_of_all_readers(masks, None):
        assert counts == {"cat": 3, "dog": 2, "it's": 1}
    for counts in counts_of_all_readers(masks, 0.55):
        assert counts == {"cat": 2, "dog": 2, "it's": 2}


def test_a_default_of_zero_shows_all(tmp_path) -> None:
    for counts in counts_of_all_readers(
        an_output(tmp_path / "m.parquet", {"default_score": 0.0}), None
    ):
        assert counts == {"cat": 4, "dog": 4, "it's": 4}


def test_two_outputs_are_compared_at_the_scores_of_the_first(masks, tmp_path) -> None:
    other = an_output(tmp_path / "other.parquet", {"default_score": 0.1})
    options = StatsOptions(masks=masks)
    drift = compare(options, replace(options, masks=other))
    assert [row["masks_before"] for row in drift.classes] == [
        row["masks_now"] for row in drift.classes
    ]


def test_they_are_told_in_words() -> None:
    assert str(MinScores(0.62)) == "0.62"
    assert str(MinScores(0.5, SCORES)) == "0.3 to 0.7, depending on the class"
    assert MinScores(0.5, SCORES).span == "0.3 to 0.7"
    assert min_scores({}, None) == MinScores(0.5)


def test_they_travel_in_the_header_of_the_weights(tmp_path) -> None:
    info = ModelInfo("toy", "tiny", CATEGORIES[0], CATEGORIES[1], Resize(32, 32), 32)
    path = tmp_path / "w.safetensors"
    checkpoint.save(path, {"w": torch.zeros(1)}, replace(info, default_scores=(0.3, 0.5, 0.7)))
    assert checkpoint.read_info(path).default_scores == (0.3, 0.5, 0.7)
    checkpoint.save(path, {"w": torch.zeros(1)}, info)
    header = json.loads(checkpoint.read_metadata(path)["segcli_model"])
    assert "default_scores" not in header  # earlier versions would refuse the file
    assert checkpoint.read_info(path) == info
