import contextlib
import dataclasses
import io
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segcli import pipeline
from segcli.cli import app, tables
from segcli.cli.hint import better_model
from segcli.cli.progress import Lines
from segcli.cli.running import Reports, run_and_report
from segcli.models import catalogue, registry, speeds
from segcli.models.catalogue import describe, recommended
from segcli.models.registry import families
from segcli.pipeline import PredictOptions
from segcli.pipeline.events import Note, Summary
from segcli.store import Settings, open_output
from segcli.types import Record, Sample

TOY = Path(__file__).resolve().parent.parent / "toy"


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch) -> None:
    """Neither weights nor figures of whoever runs the tests."""
    monkeypatch.setenv("SEGCLI_WEIGHTS", str(tmp_path / "kept"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*words: str):
    result = CliRunner().invoke(app, ["models", *words])
    assert result.exit_code == 0, result.output
    return result


def test_table_names_every_variant_on_one_line(monkeypatch) -> None:
    monkeypatch.setattr(tables, "PIPED", 80)
    lines = run().stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for family in families().values():
        for variant, info in family.variants.items():
            cells = next(
                c for line in lines if (c := line.split())[:1] == [f"{family.name}/{variant}"]
            )
            assert str(len(info.categories)) in cells
            published = family.published.get(variant)
            if published is not None:
                assert (published.ap is None) == (info.keypoints is not None)
                assert published.ap is None or f"{published.ap:.1f}" in cells
                assert cells[-1] == ("browser" if published.by_hand else "fetch")
                assert published.licence in " ".join(cells)
    assert "default: maskrcnn/lite2" in lines


def test_what_can_be_used_comes_first_then_the_best(monkeypatch) -> None:
    rows = describe()["models"]
    assert rows[0]["model"] == "maskrcnn/lite2"
    states = [row["state"] for row in rows]
    assert states == sorted(states, key=["here", "fetch", "browser", "train"].index)
    aps = [row["ap"] or 0 for row in rows if row["state"] == "fetch"]  # keypoints have no mask AP
    assert aps == sorted(aps, reverse=True)


def test_a_model_for_keypoints_is_described_by_their_ap() -> None:
    shown = run("maskrcnn/keypoint-r50-fpn").stdout
    assert "keypoint AP 65.0 % on COCO val2017, as published" in shown
    assert "mask AP" not in shown


def test_json_is_complete() -> None:
    found = json.loads(run("--json").stdout)
    assert sorted(row["model"] for row in found["models"]) == sorted(
        f"{name}/{variant}" for name, family in families().items() for variant in family.variants
    )
    assert found["default"] in [row["model"] for row in found["models"]]
    assert found["broken"] == []


def test_a_family_or_one_model_can_be_shown() -> None:
    rows = json.loads(run("yolact", "--json").stdout)["models"]
    assert {row["model"] for row in rows} == {f"yolact/{v}" for v in families()["yolact"].variants}
    text = run("condinst/r50-fpn").stdout
    published = families()["condinst"].published["r50-fpn"]
    assert text.startswith("condinst/r50-fpn\n")
    assert "37.5 % on COCO val2017, as published" in text
    assert "segcli weights fetch condinst/r50-fpn --accept-licence (137 MB)" in text
    assert published.url in text
    assert "teddy bear" in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines() if published.url not in line)
    assert "in a folder of OneDrive: save it, then segcli weights convert FILE" in " ".join(
        run("maskscoring/r50-fpn").stdout.split()
    )
    assert "segcli train --model pep/r50-fpn" in run("pep/r50-fpn").stdout
    shipped = run("maskrcnn/lite2").stdout
    assert "maskrcnn/lite2 (default)" in shipped
    assert "lite2.md" in shipped  # its card
    wrong = CliRunner().invoke(app, ["models", "condinst/r50"])
    assert "did you mean 'r50-fpn'?" in str(wrong.exception)


@pytest.mark.slow
@pytest.mark.parametrize("here", [True, False], ids=["weights", "random weights"])
def test_a_measured_speed_is_kept_and_shown(here, monkeypatch) -> None:
    monkeypatch.syspath_prepend(TOY)
    if not here:
        monkeypatch.setattr(registry, "_shipped", lambda plugin: {})
    assert "toy/tiny: 0." in run("--measure", "toy").stderr
    (row,) = json.loads(run("toy", "--json").stdout)["models"]
    speed = row["speed"]
    assert 0 < speed["seconds"] < 5
    assert speed["weights"] == here
    text = " ".join(run("toy/tiny").stdout.split())
    assert f"{speed['seconds']:.3g} s for an image of 640 x 480 px (on " in text
    assert ("random weights" in text) != here
    assert "s/image" in run().stdout


def test_a_damaged_file_of_speeds_counts_as_none(tmp_path) -> None:
    path = speeds.keep_speed("a/b", speeds.Speed(0.1, "640 x 480", "cpu", "float32", "today", True))
    assert path.is_relative_to(tmp_path)
    assert speeds.read_speeds()["a/b"].seconds == 0.1
    for text in ("{", "[]", '{"host": 3}', json.dumps({platform.node(): {"a/b": {"x": 1}}})):
        path.write_text(text)
        assert speeds.read_speeds() == {}


def test_the_first_run_of_the_default_model_names_a_better_one(tmp_path) -> None:
    options = PredictOptions(source=".", out=tmp_path / "m.parquet")
    line = better_model(options)
    better = recommended(describe())
    assert better is not None
    assert line == (
        f"80 categories at {better['ap']:.0f} AP instead of 11: "
        f"segcli weights fetch {better['model']}"
    )
    assert better_model(dataclasses.replace(options, model="maskrcnn")) is None
    assert better_model(dataclasses.replace(options, categories=("person",))) is None
    with open_output(
        options.out, Settings({}, {}), carried={}, categories=(("person",), (1,))
    ) as output:
        output.commit([Record(Sample("a.jpg", "a.jpg"), 2, 2)])
    assert better_model(options) is None


def test_a_missing_package_is_named_and_its_models_are_not_recommended(monkeypatch) -> None:
    needy = [family for family in families().values() if family.requires]
    assert needy
    monkeypatch.setattr(catalogue, "missing_modules", lambda family: list(family.requires))
    shown = run().stdout
    for family in needy:
        for module, how in family.requires.items():
            assert f"{family.name} needs {module}: {how}\n" in shown
    better = recommended(describe())
    assert better is not None
    assert better["model"] == "maskrcnn/r50-fpn-v2"


def test_nothing_is_recommended_to_those_who_have_it(monkeypatch, tmp_path) -> None:
    best = recommended(describe())
    assert best is not None
    family, info = registry.find(best["model"])
    registry.kept(info).parent.mkdir(parents=True)
    registry.kept(info).write_bytes(b"")
    assert recommended(describe()) is None


@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_terminal_gets_the_hint(terminal, monkeypatch, tmp_path) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(pipeline, "predict", lambda options, report: Summary(out="m"))
    options = PredictOptions(source=".", out=tmp_path / "m.parquet")
    run_and_report(options, Reports("text", False, None, None, None))
    assert ("segcli weights fetch" in stream.getvalue()) == terminal


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
