import dataclasses
import io
import json
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from segcli.cli import app, fetching, training
from segcli.errors import SegcliError
from segcli.models import checkpoint, registry
from segcli.plugin import Published

TOY = Path(__file__).resolve().parent.parent / "toy"


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch) -> Path:
    """The toy family is installed without weights; what is kept goes to the returned folder."""
    monkeypatch.syspath_prepend(TOY)
    monkeypatch.setattr(registry, "_shipped", lambda plugin: {})
    monkeypatch.setenv("SEGCLI_WEIGHTS", str(tmp_path / "kept"))
    return tmp_path / "kept"


def convert(*arguments: object):
    return CliRunner().invoke(app, ["weights", "convert", *map(str, arguments)])


def test_converted_weights_are_found_by_the_model(tmp_path, kept) -> None:
    torch.save({"margin": torch.tensor(0.125)}, tmp_path / "p.pth")
    result = convert(tmp_path / "p.pth", "--model", "toy")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{kept}/toy/tiny.safetensors: 1 tensor of toy/tiny")
    assert "use it with --model toy/tiny" in result.stdout
    loaded = registry.load_model("toy", None)
    assert loaded.model.state_dict()["margin"] == 0.125
    notes = checkpoint.read_metadata(kept / "toy/tiny.safetensors")
    assert notes["source"] == "p.pth"
    assert notes["source_sha256"] == checkpoint.digest(tmp_path / "p.pth")


def test_what_ships_comes_before_what_is_kept(tmp_path, kept, monkeypatch) -> None:
    torch.save({"margin": torch.tensor(0.125)}, tmp_path / "p.pth")
    shipped = {"tiny": tmp_path / "shipped"}
    family, info = registry.find("toy")
    checkpoint.save(shipped["tiny"], family.build(info).state_dict(), info)
    monkeypatch.setattr(registry, "_shipped", lambda plugin: shipped)
    result = convert(tmp_path / "p.pth", "--model", "toy")
    assert f"use it with --weights {kept}/toy/tiny.safetensors" in result.stdout
    assert registry.locate("toy", None).path == shipped["tiny"]


def test_named_output_and_half(tmp_path) -> None:
    torch.save({"margin": torch.tensor(0.1)}, tmp_path / "p.pth")
    result = convert(tmp_path / "p.pth", "--model", "toy", "--out", tmp_path / "new/w", "--half")
    assert result.exit_code == 0, result.output
    assert f"use it with --weights {tmp_path}/new/w" in result.stdout
    _, state = checkpoint.load(tmp_path / "new/w")
    assert state["margin"] == torch.tensor(0.1).half().float()


def test_an_existing_file_is_kept(tmp_path) -> None:
    torch.save({"margin": torch.tensor(0.1)}, tmp_path / "p.pth")
    before = (tmp_path / "p.pth").read_bytes()
    result = convert(tmp_path / "p.pth", "--model", "toy", "--out", tmp_path / "p.pth")
    assert isinstance(result.exception, SegcliError)
    assert "exists; remove it, or choose another file as `out`" in str(result.exception)
    assert (tmp_path / "p.pth").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: torch.save({"w": torch.zeros(1)}, path), "not a toy"),
        (lambda path: path.write_bytes(pickle.dumps({"w": Path("x")})), "cannot read weights from"),
        (lambda path: None, "no weights .* as a path it does not exist"),
    ],
)
def test_what_cannot_be_converted_writes_nothing(make, expected, tmp_path, kept) -> None:
    make(tmp_path / "p.pth")
    result = convert(tmp_path / "p.pth", "--model", "toy")
    assert isinstance(result.exception, SegcliError)
    assert result.exception.exit_code == 2
    assert re.search(expected, str(result.exception))
    assert not kept.exists()


def test_our_own_weights_need_no_conversion(tmp_path) -> None:
    family, info = registry.find("toy")
    checkpoint.save(tmp_path / "w", family.build(info).state_dict(), info)
    result = convert(tmp_path / "w", "--model", "toy")
    assert "already in segcli's format" in str(result.exception)


@pytest.fixture
def published(tmp_path, monkeypatch) -> Path:
    """The toy's checkpoint in a folder that is the mirror."""
    import segcli_toy

    file = tmp_path / "mirror/authors.example/margin.pth"
    file.parent.mkdir(parents=True)
    torch.save({"margin": torch.tensor(0.125)}, file)
    described = Published(
        url="https://authors.example/margin.pth",
        licence="MIT",
        source="their page",
        ap=12.5,
        size=file.stat().st_size,
        sha256=checkpoint.digest(file),
    )
    family = dataclasses.replace(segcli_toy.FAMILY, published={"tiny": described})
    monkeypatch.setattr(segcli_toy, "FAMILY", family)
    monkeypatch.setenv("SEGCLI_WEIGHTS_MIRROR", str(tmp_path / "mirror"))
    return file


def weights(*words: str):
    return CliRunner().invoke(app, ["weights", *words])


def test_fetched_weights_are_listed_checked_and_removed(published, kept) -> None:
    file = kept / "toy/tiny.safetensors"
    fetched = weights("fetch", "toy")
    assert fetched.exit_code == 0, fetched.output
    first, *_, last = fetched.stderr.splitlines()
    assert first.startswith(f"toy/tiny: fetching {published} (0 MB, licence: MIT)")
    assert last == f"toy: {file}"
    assert weights("fetch", "toy").stderr == "toy: the weights are already installed\n"
    (row,) = (row for row in json.loads(weights("list", "--json").stdout) if "toy" in row["model"])
    assert row == {
        "model": "toy/tiny",
        "path": str(file),
        "size": file.stat().st_size,
        "kind": "fetched",
        "licence": "MIT",
        "source": "https://authors.example/margin.pth",
        "source_sha256": checkpoint.digest(published),
    }
    listed = next(line for line in weights("list").stdout.splitlines() if "toy" in line)
    assert "fetched" in listed
    assert checkpoint.digest(published)[:12] in listed
    assert weights("check", "toy").stdout == f"toy/tiny: ok ({file})\n"
    assert weights("remove", "toy").stdout.startswith(f"removed {file} (")
    assert not file.exists()
    gone = weights("check", "toy")
    assert (gone.exit_code, gone.stdout) == (1, "toy/tiny: no weights are installed\n")
    assert "there are none" in str(weights("remove", "toy").exception)


def test_what_ships_cannot_be_removed(monkeypatch) -> None:
    monkeypatch.undo()
    assert "they ship with the package" in str(weights("remove", "maskrcnn").exception)


def test_nothing_is_fetched_when_one_name_cannot_be(published, kept) -> None:
    result = weights("fetch", "toy", "pep/r50-fpn")
    assert "there are no published weights of pep/r50-fpn" in str(result.exception)
    assert not kept.exists()


@pytest.mark.slow
def test_predict_fetches_when_it_is_asked_to(published, kept, tmp_path) -> None:
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(tmp_path / "a.png")
    words = ["predict", str(tmp_path / "a.png"), "--out", str(tmp_path / "m.parquet")]
    words += ["--model", "toy", "--replicas", "0", "--device", "cpu", "--precision", "float32"]
    without = CliRunner().invoke(app, words)
    assert "`segcli weights fetch toy/tiny` gets the published ones" in str(without.exception)
    other = CliRunner().invoke(app, [*words, "--fetch", "--weights", "w"])
    assert "--fetch and --weights w contradict each other" in str(other.exception)
    done = CliRunner().invoke(app, [*words, "--fetch"])
    assert done.exit_code == 0, done.output
    assert (kept / "toy/tiny.safetensors").is_file()
    assert "1 image" in done.stdout


def test_train_fetches_what_it_begins_with(published, kept, tmp_path, monkeypatch) -> None:
    began: list[str | None] = []
    monkeypatch.setattr(training, "run", lambda plan, recipe: began.append(plan.model))
    words = ["train", "--out", str(tmp_path / "run"), "--model", "toy", "--fetch"]
    assert "nothing to train on" in str(CliRunner().invoke(app, words).exception)
    words += ["--images", str(tmp_path), "--ann", "ann.json"]
    refused = CliRunner().invoke(app, [*words, "--weights", "w"])
    assert "--fetch and --weights w contradict each other" in str(refused.exception)
    assert not kept.exists()
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (kept / "toy/tiny.safetensors").is_file()
    assert began == ["toy"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_sees_a_bar_and_a_log_a_line_now_and_then(terminal, monkeypatch) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(fetching, "_EVERY_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    with fetching._progress(quiet=False) as report:
        report(30_000_000, 60_000_000)
    assert ("30.0/60.0 MB" if terminal else "30 of 60 MB\n") in stream.getvalue()
    with fetching._progress(quiet=True) as report:
        report(1, None)
