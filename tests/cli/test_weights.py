import pickle
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from segcli.cli import app
from segcli.errors import SegcliError
from segcli.models import checkpoint, registry

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
    assert result.stdout.startswith(f"{kept}/toy/tiny.safetensors: 1 tensors of toy/tiny")
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
    assert "exists; remove it, or name another file with --out" in str(result.exception)
    assert (tmp_path / "p.pth").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: torch.save({"w": torch.zeros(1)}, path), "not a toy"),
        (lambda path: path.write_bytes(pickle.dumps({"w": Path("x")})), "cannot take weights from"),
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
