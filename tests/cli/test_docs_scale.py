"""docs/scale.md shows commands that exist, and its limits are those of the code."""

import re
from pathlib import Path

from typer.main import get_command

from segcli.cli import app
from segcli.pipeline.chunk_size import MOST
from segcli.pipeline.executors.ray_executor import HUNG_S
from segcli.store.key_index import MAX_PARTS

TEXT = (Path(__file__).resolve().parent.parent.parent / "docs/scale.md").read_text()


def test_commands_have_only_options_that_exist() -> None:
    known = {word for p in get_command(app).commands["predict"].params for word in p.opts}
    commands = re.findall(r"segcli predict ((?:[^\n\\]|\\\n)*)", TEXT)
    assert len(commands) >= 6
    for command in commands:
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", command)) <= known, command


def test_limits_are_those_of_the_code() -> None:
    assert f"{MAX_PARTS:,} parts" in TEXT
    assert f"parts, {MOST:,} images each" in TEXT
    assert f"no batch for {HUNG_S / 60:.0f} minutes" in TEXT
