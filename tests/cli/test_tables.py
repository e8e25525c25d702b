"""Tables in windows of any width."""

import pytest
from rich.text import Text

from segcli.cli.tables import TablePrinter

TITLES = ("class", "images", "masks", "share")
ROWS = [["person", "12", "340", "55 %"], ["a category with a long name", "1", "2", "0 %"]]


def printed(capsys: pytest.CaptureFixture[str], monkeypatch, width: int, **more) -> list[str]:
    monkeypatch.setattr("segcli.cli.tables.PIPED", width)
    printer = TablePrinter(wide=more.pop("wide", False))
    printer.table(TITLES, ROWS, optional=("share", "masks"), **more)
    printer.end()
    return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_all_columns_where_there_is_room(capsys, monkeypatch) -> None:
    lines = printed(capsys, monkeypatch, 80)
    assert lines[0].split() == ["class", "images", "masks", "share"]
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("width", "titles"), [(50, ["class", "images", "masks"]), (40, ["class", "images"])]
)
def test_whole_columns_are_left_out(capsys, monkeypatch, width: int, titles: list[str]) -> None:
    lines = printed(capsys, monkeypatch, width)
    assert lines[0].split() == titles
    assert max(map(len, lines)) <= width
    assert lines[-1] == "more columns: --wide"
    assert any("a category with a long name" in line for line in lines)


def test_a_name_is_never_cut(capsys, monkeypatch) -> None:
    lines = printed(capsys, monkeypatch, 20)
    assert lines[0].split() == ["class", "images"]
    assert any("a category with a long name" in line for line in lines)
    assert not any("…" in line for line in lines)


def test_wide_shows_all(capsys, monkeypatch) -> None:
    assert printed(capsys, monkeypatch, 20, wide=True)[0].split() == list(TITLES)


def test_names_are_text_and_never_markup(capsys) -> None:
    printer = TablePrinter(wide=True)
    printer.table(("class", "n"), [["[bold]x[/bold]", "1"], [Text("[red]"), "2"]])
    printer.line("[dim]y")
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("[bold]x[/bold]", "[red]", "[dim]y"))
