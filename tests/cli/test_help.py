"""What `--help` shows, and what the whole command line has in common."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from segcli.cli import app
from segcli.cli.commands import COMMANDS
from segcli.cli.options import category_names, comma_list
from segcli.errors import ExitCode, UsageError

ROOT = Path(__file__).resolve().parents[2]
CLI = sorted((ROOT / "segcli/cli").glob("*.py"))


def commands() -> dict:
    return get_command(app).commands


def help_page(*words: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "segcli", *words, "--help"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout


def test_the_summaries_are_whole_at_80_columns_under_their_panels() -> None:
    page = help_page()
    assert "..." not in page.partition("Options:")[2]
    titles = ["Predict:", "Look:", "Measure:", "Move data:", "Set up:"]
    assert [line for line in page.splitlines() if line in titles] == titles
    for name, command in COMMANDS.items():
        assert f"  {name} " in page
        assert command.summary in page
        assert len(command.summary) <= 55
        assert command.summary.endswith(".")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_help_text_is_a_phrase(name: str) -> None:
    """It begins with a capital letter or the name of a choice, ends with a full stop, and is not a
    fragment such as "Of the lot." or "Only these."."""
    command = commands()[name]
    choices = re.compile(r"[A-Z]|auto, |coco")
    for one in getattr(command, "commands", {"": command}).values():
        for parameter in one.params:
            text = getattr(parameter, "help", None)
            if parameter.name == "help":
                continue
            assert text, f"{name} {parameter.opts}: no help"
            assert text.endswith("."), f"{name} {parameter.opts}: {text}"
            assert choices.match(text), f"{name} {parameter.opts}: {text}"
            assert not re.match(r"(Of|For|Only|Default|Needs)\b", text), f"{name}: {text}"


def test_no_command_gathers_its_locals() -> None:
    found = [
        f"{path.name}:{node.lineno}"
        for path in CLI
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "locals"
    ]
    assert found == []


def test_lists_are_split_at_commas_in_one_place() -> None:
    assert comma_list("person, traffic light,", "--x") == ("person", "traffic light")
    assert category_names(None) is None
    with pytest.raises(UsageError, match="--categories ' , ' is empty"):
        category_names(" , ")
    others = [path.name for path in CLI if 'split(",")' in path.read_text()]
    assert others == ["options.py"]


def test_an_error_of_segcli_has_its_code_in_the_table() -> None:
    assert ExitCode.INTERNAL == 70


LONG = [name for name, command in COMMANDS.items() if command.goes_on]


def with_closed_stdout(*words: str) -> subprocess.CompletedProcess[str]:
    read, write = os.pipe()
    os.close(read)
    try:
        return subprocess.run(
            [sys.executable, "-m", "segcli", *words],
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(write)


def test_a_long_command_finishes_without_a_reader(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no")
    out = tmp_path / "m.parquet"
    ended = with_closed_stdout("manifest", str(tmp_path), "--out", str(out))
    assert (ended.returncode, ended.stderr) == (ExitCode.SOME_FAILED, "")
    assert out.exists()
    assert LONG == ["predict", "train", "track", "manifest", "compact", "prune"]


def test_a_short_command_ends_by_the_signal_without_a_reader() -> None:
    assert with_closed_stdout("models").returncode == -13
    assert with_closed_stdout("weights").returncode in (-13, 2)  # its help goes to stderr


def test_an_app_is_made_of_every_command() -> None:
    assert isinstance(app, typer.Typer)
    assert list(commands()) == list(COMMANDS)
