"""docs/contract.md has a row for every value and every hook that families and the core exchange."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

from scripts.figures import contract
from segcli import plugin
from segcli.plugin import Family, Published
from segcli.types import Batch, Instances, ModelInfo, Targets

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "contract.md").read_text()
SECTIONS = dict(re.findall(r"^## [^\n]*`(\w+)`(.*?)(?=^## )", PAGE, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize(
    "kind", [Family, Published, ModelInfo, Batch, Instances, Targets], ids=lambda k: k.__name__
)
def test_every_field_has_a_row(kind) -> None:
    first = re.findall(r"^\| (`.*?) \|", SECTIONS[kind.__name__], re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(first))
    fields = {field.name for field in dataclasses.fields(kind)}
    assert fields <= set(named)


def test_every_hook_has_a_row() -> None:
    rows = set(re.findall(r"^\| `(?:Family\.)?(\w+)\(", PAGE, re.MULTILINE))
    inherited = {"state_dict", "load_state_dict", "to", "train", "eval"}
    hooks = {"build", "convert"}
    for _, kind in inspect.getmembers(plugin, inspect.isclass):
        if getattr(kind, "_is_protocol", False) and kind.__module__ == plugin.__name__:
            hooks |= {name for name, _ in inspect.getmembers(kind, inspect.isfunction)}
    hooks = {name for name in hooks if not name.startswith("_")} - inherited
    assert {"predict", "losses", "fuse"} <= hooks <= rows


def test_the_figures_are_those_of_the_script(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(contract, "DOCS", tmp_path)
    contract.main()
    for name in ("contract.svg", "postprocess.svg"):
        assert (tmp_path / name).read_text() == (DOCS / name).read_text()
