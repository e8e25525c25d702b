"""docs/models.md names models, figures and options that exist."""

import re
from pathlib import Path

from typer.main import get_command

from segcli.cli import app
from segcli.models.registry import families

PAGE = (Path(__file__).resolve().parents[2] / "docs/models.md").read_text()
NAMES = {
    f"{name}/{variant}": family.published.get(variant)
    for name, family in families().items()
    for variant in family.variants
}


def test_every_model_exists() -> None:
    named = set(re.findall(rf"\b(?:{'|'.join(families())})/[a-z0-9-]+", PAGE))
    assert len(named) > 8
    assert named <= set(NAMES)


def test_the_stated_ap_is_the_published_one() -> None:
    rows = [
        line.split("|")[2:4] for line in PAGE.splitlines() if " AP" in line and line[:2] == "| "
    ]
    checked = 0
    for models, why in rows:
        stated = [float(number) for number in re.findall(r"\b\d\d\.\d\b", why)]
        named = re.findall(r"`([a-z]+/[\w-]+)`", models)
        assert stated == [NAMES[model].ap for model in named]
        checked += len(stated)
    assert checked >= 6


def test_every_option_exists() -> None:
    commands = [get_command(app)]
    known = {"--force-directories"}  # of wget
    while commands:
        command = commands.pop()
        commands += getattr(command, "commands", {}).values()
        known |= {name for parameter in command.params for name in parameter.opts}
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert {"--fetch", "--accept-licence", "--tta"} <= used <= known
