"""docs/cron.md shows commands that exist, and names tests that exist."""

import json
import re
import shlex
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.main import get_command

from segcli.cli import app

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/cron.md").read_text()
BLOCKS = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)).replace("\\\n", " ")


def test_commands_have_only_options_that_exist() -> None:
    commands = get_command(app).commands
    used = re.findall(r"segcli (\w+) ([^\n|>]*(?:> \([^\n]*)?)", BLOCKS)
    assert {name for name, _ in used} >= {"init", "predict", "status", "stats", "eval", "report"}
    for name, rest in used:
        own, _, passed = rest.partition(" -- ")
        for command, words in ((name, own), ("predict", passed)):
            known = {option for one in commands[command].params for option in one.opts}
            options = {word for word in shlex.split(words, comments=True) if word[:2] == "--"}
            assert options <= known, f"{command} {words}"


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is missing")
def test_the_alert_on_the_summary_notices_errors_and_old_files(tmp_path: Path) -> None:
    (check,) = re.findall(r"^jq -e '([^']*)' /data/run.json$", TEXT, re.M)

    def ends_with(minutes: int = 0, error: str | None = None, late: bool = False) -> int:
        ended = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds")
        summary = {"ended": ended, "error": error, "is_out_of_time": late}
        (tmp_path / "run.json").write_text(json.dumps(summary))
        words = ["jq", "-e", check, str(tmp_path / "run.json")]
        return subprocess.run(words, capture_output=True).returncode

    assert ends_with(minutes=110) == 0
    assert [ends_with(minutes=130), ends_with(error="disk"), ends_with(late=True)] == [1, 1, 1]


def test_every_drill_names_a_test() -> None:
    rows = re.findall(r"^\|.*\| `([\w/.]+)::(\w+)` \|$", TEXT, re.M)
    assert len(rows) >= 20
    for path, name in rows:
        assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
    drills = TEXT.partition("| failure | result | test |")[2].partition("\n\n")[0]
    assert len(rows) == drills.count("\n") - 1, "a row without a test"
