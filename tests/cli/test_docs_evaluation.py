"""docs/evaluation.md names only options that exist, and every option of its commands but --help."""

import re
from pathlib import Path

from typer.main import get_command

from segcli.cli import app
from segcli.export import FORMATS

TEXT = (Path(__file__).resolve().parent.parent.parent / "docs/evaluation.md").read_text()
COMMANDS = get_command(app).commands


def options(name: str) -> set[str]:
    return {word for p in COMMANDS[name].params for word in p.opts if word.startswith("--")}


def test_no_option_is_invented() -> None:
    known = set().union(*(options(name) for name in COMMANDS))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) <= known


def test_every_option_of_eval_is_told() -> None:
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT))
    assert options("eval") <= told
    assert options("export") <= told


def test_every_format_is_told() -> None:
    for word in FORMATS:
        assert f"| `{word}` |" in TEXT
