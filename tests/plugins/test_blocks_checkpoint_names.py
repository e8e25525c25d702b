"""Renaming published checkpoints and saying what is wrong with a file."""

import pytest
import torch

from segcli.errors import UsageError
from segcli.types import ModelInfo, Resize
from segcli_blocks.checkpoint_names import check, looks_like, rename

INFO = ModelInfo("condinst", "r50-fpn", ("a",), (1,), Resize(800, 1333), 32)


def test_rename_takes_the_first_rule_and_counts_down():
    rules = ((r"res(\d)\.(\w+)", r"layer<\1>.\2"), (r"p(\d)", r"inner.[\1]"), (r"q(\d)", r"{\1}"),
             (r"unused\..*", ""), (r"res2.*", "never"))  # fmt: skip
    state = {name: torch.zeros(1) for name in ("res2.w", "p3", "q3", "unused.x", "kept")}
    assert list(rename(state, rules)) == ["layer1.w", "inner.1", "0", "kept"]


def test_check_names_differences_and_guesses_the_family():
    given = {"a": torch.zeros(2), "c": torch.zeros(1)}
    expected = {"a": torch.zeros(3), "b": torch.zeros(1)}
    with pytest.raises(UsageError) as caught:
        check(given, expected, INFO, published=["prediction_layers.0.bbox_layer.weight"])
    message = str(caught.value)
    assert "condinst/r50-fpn" in message
    assert "expected b, got c" in message
    assert "a (2,) instead of (3,)" in message
    assert "looks like a yolact checkpoint" in message


def test_check_accepts_what_fits():
    check({"a": torch.zeros(3)}, {"a": torch.ones(3)}, INFO, published=["a"])


def test_looks_like_nothing_known():
    assert looks_like(["model.layers.0.weight"]) is None
    assert looks_like(["rpn.head.pixel_other_embed_pred.bias"]) == "embedmask"
