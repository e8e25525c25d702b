"""Renaming published checkpoints and saying what is wrong with a file."""

import pytest
import torch
from torch import nn

from segcli.errors import UsageError
from segcli.types import ModelInfo, Resize
from segcli_blocks.checkpoint_names import bgr_to_rgb, check, fitting, rename, shifted

INFO = ModelInfo("condinst", "r50-fpn", ("a",), (1,), Resize(800, 1333), 32)


def test_rename_takes_the_first_rule_and_counts_down():
    rules = ((r"res(\d)\.(\w+)", shifted("layer{}.{}", 1)), (r"p(\d)", shifted("inner.{}", 2)),
             (r"q(\d)", r"inner.\1"), (r"unused\..*", ""), (r"res2.*", "never"))  # fmt: skip
    state = {name: torch.zeros(1) for name in ("res2.w", "p3", "q3", "unused.x", "kept")}
    assert list(rename(state, rules)) == ["layer1.w", "inner.1", "inner.3", "kept"]


def test_check_names_differences():
    given = {"a": torch.zeros(2), "c": torch.zeros(1)}
    expected = {"a": torch.zeros(3), "b": torch.zeros(1)}
    with pytest.raises(UsageError) as caught:
        check(given, expected, INFO)
    message = str(caught.value)
    assert "condinst/r50-fpn" in message
    assert "expected b, got c" in message
    assert "a (2,) instead of (3,)" in message


def test_check_accepts_what_fits():
    check({"a": torch.zeros(3)}, {"a": torch.ones(3)}, INFO)


def test_counts_of_batches_are_left_out_where_the_model_has_none():
    given = {
        "weight": torch.zeros(2, 1),
        "bias": torch.zeros(2),
        "num_batches_tracked": torch.ones(1),
    }
    found = fitting(given, INFO, lambda info: nn.Linear(1, 2))
    assert found.keys() == {"weight", "bias"}


def test_the_first_filters_are_turned_round():
    state = {"backbone.body.conv1.weight": torch.arange(3.0).view(1, 3, 1, 1)}
    assert bgr_to_rgb(state)["backbone.body.conv1.weight"].flatten().tolist() == [2, 1, 0]
    assert bgr_to_rgb({}) == {}
