"""A run that asks for less than the output holds is told how to read that."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from segcli.cli import app
from segcli.errors import UsageError
from segcli.store.filtering import filtered_command
from segcli.store.footer import Footer, Settings

TOY = Path(__file__).resolve().parents[1] / "toy"
OUT = Path("my masks.parquet")


def footer(**compared: object) -> Footer:
    start = {"min_score": 0.05, "categories": None, "model": "toy"}
    return Footer(Settings(start | compared, {}), ("person", "car"), (1, 3), 1)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"min_score": 0.3}, "--min-score 0.3"),
        ({"categories": ["car"]}, "--categories car"),
        (
            {"min_score": 0.5, "categories": ["person", "car"]},
            "--min-score 0.5 --categories person,car",
        ),
    ],
)
def test_less_of_the_same(now: dict, words: str) -> None:
    command = filtered_command(OUT, footer(), footer(**now))
    assert command == f"segcli viz 'my masks.parquet' --out 'my masks-pictures' {words}"


@pytest.mark.parametrize(
    ("there", "now"),
    [
        ({}, {}),
        ({}, {"min_score": 0.01}),
        ({}, {"min_score": 0.3, "model": "other"}),
        ({"categories": ["car"]}, {}),
        ({"categories": ["car"]}, {"categories": ["person"]}),
    ],
)
def test_something_else(there: dict, now: dict) -> None:
    assert filtered_command(OUT, footer(**there), footer(**now)) is None


def test_the_command_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TOY)
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:20, :, 0] = 220
    Image.fromarray(pixels).save("images/a.png")
    words = ["predict", "images", "--out", "m.parquet", "--model", "toy", "--replicas", "0"]
    assert CliRunner().invoke(app, words).exit_code == 0
    refused = CliRunner().invoke(app, [*words, "--min-score", "0.5"]).exception
    assert isinstance(refused, UsageError)
    command = re.search(r"has these masks: segcli (.*) \(or export\)", str(refused))
    assert command, refused
    shown = CliRunner().invoke(app, shlex.split(command[1]))
    assert shown.exit_code == 0, shown.output
    assert Path("m-pictures/a.png.jpg").exists()
