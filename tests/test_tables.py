"""Figures of scripts/bench on a page."""

from pathlib import Path

from scripts.benchmarks import runner, tables

ROOT = Path(__file__).resolve().parent.parent


def test_a_marked_place_is_renewed_and_the_rest_stays() -> None:
    old = "Text.\n<!-- figures: machine -->\nold\n<!-- end of figures -->\nMore \\1.\n"
    once = tables.renew(old, {"machine": {"cores": 2, "load": 0.123456}})
    assert once == (
        "Text.\n<!-- figures: machine -->\n\n|  |  |\n| --- | --- |\n| cores | 2 |\n"
        "| load | 0.123 |\n\n<!-- end of figures -->\nMore \\1.\n"
    )
    assert tables.renew(once, {"machine": {"cores": 2, "load": 0.123456}}) == once


def test_figures_without_a_place_change_nothing() -> None:
    assert tables.renew("Text.\n", {"machine": {"cores": 2}}) == "Text.\n"


def test_numbers_are_short() -> None:
    assert [tables.shown(v) for v in (1234.5, 0.00012345, None, 7, "a")] == [
        "1234", "0.000123", "", "7", "a",
    ]  # fmt: skip


def test_every_place_of_the_page_is_a_benchmarks() -> None:
    page = (ROOT / "docs/performance.md").read_text()
    begin = tables.BEGIN.partition("{}")[0]
    names = [part.partition(" ")[0] for part in page.split(begin)[1:]]
    assert "stages" in names
    assert set(names) - {"machine"} <= set(runner.benchmarks())


def test_every_benchmark_has_a_docstring_and_figures() -> None:
    for name in runner.benchmarks():
        text = (ROOT / f"scripts/benchmarks/{name.replace('-', '_')}.py").read_text()
        assert text.startswith('"""')
        assert "\ndef main(" in text
