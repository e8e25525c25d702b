"""Figures of scripts/bench on a page."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables_script", ROOT / "scripts/tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_marked_place_is_renewed_and_the_rest_stays(tables) -> None:
    old = "Text.\n<!-- figures: machine -->\nold\n<!-- end of figures -->\nMore \\1.\n"
    once = tables.renew(old, {"machine": {"cores": 2, "load": 0.123456}})
    assert once == (
        "Text.\n<!-- figures: machine -->\n\n|  |  |\n| --- | --- |\n| cores | 2 |\n"
        "| load | 0.123 |\n\n<!-- end of figures -->\nMore \\1.\n"
    )
    assert tables.renew(once, {"machine": {"cores": 2, "load": 0.123456}}) == once


def test_figures_without_a_place_change_nothing(tables) -> None:
    assert tables.renew("Text.\n", {"machine": {"cores": 2}}) == "Text.\n"


def test_numbers_are_short(tables) -> None:
    assert [tables.shown(v) for v in (1234.5, 0.00012345, None, 7, "a")] == [
        "1234", "0.000123", "", "7", "a",
    ]  # fmt: skip


def test_every_place_of_the_page_is_a_benchmarks(tables) -> None:
    page = (ROOT / "docs/performance.md").read_text()
    begin = tables.BEGIN.partition("{}")[0]
    names = [part.partition(" ")[0] for part in page.split(begin)[1:]]
    assert "stages" in names
    for name in names:
        script = ROOT / f"scripts/bench_{name.replace('-', '_')}.py"
        assert name == "machine" or script.is_file()
