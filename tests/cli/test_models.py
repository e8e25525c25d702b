import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segcli.cli import app, models
from segcli.cli.progress import Lines
from segcli.models.catalogue import describe
from segcli.models.registry import families
from segcli.pipeline.events import Note


def test_table_names_every_variant_on_one_line() -> None:
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0
    for family in families().values():
        for info in family.variants.values():
            line = next(
                line
                for line in result.stdout.splitlines()
                if f"{info.family}/{info.variant} " in line
            )
            assert info.categories[0] in line
    assert result.stdout.count("(default)") == 1


def test_80_columns_hold_whole_names() -> None:
    found = describe()
    found["models"].append(
        {
            "model": "decoupled-embeddings/r101-fpn-light-plus",
            "weights": "/a/path/that/is/much/too/long/for/a/narrow/table/of/models.safetensors",
            "categories": ["traffic light", "fire hydrant", "parking meter", "bench"],
            "short_px": 800,
            "long_px": 1333,
            "default_score": 0.5,
        }
    )
    lines = models.table(found, 80)
    assert max(map(len, lines)) <= 80
    for row, line in zip(found["models"], lines[1:], strict=True):
        assert line.startswith(row["model"])
        assert not line.endswith(",")
        named = line.rpartition(": ")[2].partition(" and ")[0].split(", ")
        assert named == row["categories"][: len(named)] or named == [line]
    assert " kept " in lines[-1]
    assert "/a/path" in models.table(found, None)[-1]


def test_names_are_dropped_whole() -> None:
    names = ["traffic light", "bench"]
    assert models.category_text(names, None) == "2: traffic light, bench"
    assert models.category_text(names, 23) == "2: traffic light, bench"
    assert models.category_text(names, 22) == "2"
    assert models.category_text([*names, "car"], 27) == "3: traffic light and 2 more"


def test_json_is_complete() -> None:
    result = CliRunner().invoke(app, ["models", "--json"])
    found = json.loads(result.stdout)
    assert [row["model"] for row in found["models"]] == [
        f"{name}/{variant}" for name, family in families().items() for variant in family.variants
    ]
    assert found["default"] in [row["model"] for row in found["models"]]
    assert found["broken"] == []


def test_broken_plugin_is_reported(tmp_path, monkeypatch) -> None:
    about = tmp_path / "broken-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[segcli.families]\nbroken = no_such_module:FAMILY\n")
    monkeypatch.syspath_prepend(tmp_path)
    table = CliRunner().invoke(app, ["models"]).stdout
    assert (
        "cannot be loaded: broken: ModuleNotFoundError: No module named 'no_such_module'" in table
    )
    assert "maskrcnn/" in table
    doctor = CliRunner().invoke(app, ["doctor"])
    assert doctor.exit_code == 1
    assert "NO  family       broken: ModuleNotFoundError" in doctor.stdout


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_below_stdout_is_told(unbuffered: str) -> None:
    command = [sys.executable, "-m", "segcli", "models", "--json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, timeout=120
        )
    assert done.returncode == 7
    assert done.stderr.startswith("segcli: cannot write stdout: No space left")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_below_a_log_does_not_end_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        Lines()(Note("a worker has died"))
        monkeypatch.undo()
        with contextlib.suppress(OSError):  # what is still buffered
            full.close()
