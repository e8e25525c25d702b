import json
import shutil
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from segcli import __version__, environment
from segcli.cli import app
from segcli.errors import UsageError
from segcli.models import registry


def findings() -> dict[str, dict]:
    return {
        row["name"]: row for row in json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    }


@pytest.mark.slow
def test_everything_here_is_reported() -> None:
    found = findings()
    assert set(found) == {
        "segcli", "python", "libraries", "torch", "device", "decoder", "formats", "family",
        "default", "disk", "temporary",
    }  # fmt: skip
    assert "Pillow" in found["decoder"]["value"]
    assert "bfloat16" in found["device"]["value"]
    assert found["formats"]["value"].startswith("JPEG")
    assert all(row["works"] for name, row in found.items() if name != "default")


def test_exit_code_follows_the_findings() -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == int(any(not row["works"] for row in findings().values()))
    assert len(result.stdout.splitlines()) >= len(findings())


def test_operators_that_do_not_load(monkeypatch) -> None:
    import torchvision.ops

    def fail(*_: object) -> None:
        raise RuntimeError("operator torchvision::nms does not exist\nlong trace")

    monkeypatch.setattr(torchvision.ops, "nms", fail)
    found = findings()["torch"]
    assert found["value"] == "does not load: operator torchvision::nms does not exist"
    assert "of the same release and build" in found["advice"]
    assert not found["works"]


@pytest.mark.parametrize(("lacking", "works"), [("WEBP", True), ("JPEG", False)])
def test_formats_that_are_not_read(lacking, works, monkeypatch) -> None:
    from segcli import images

    def formats() -> tuple[SimpleNamespace, ...]:
        names = ("JPEG", "PNG", "WEBP")
        return tuple(SimpleNamespace(name=n, readable=n != lacking, needs="libx") for n in names)

    monkeypatch.setattr(images, "formats", formats)
    found = findings()["formats"]
    assert found["works"] is works
    assert f"{lacking} needs libx" in found["advice"]


def test_plain_pillow_works_with_advice(monkeypatch) -> None:
    from segcli import images

    monkeypatch.setattr(images, "flavour", lambda: "Pillow 12.1.1 with libjpeg-turbo 3.1")
    found = findings()["decoder"]
    assert found["works"]
    assert "Pillow-SIMD decodes faster" in found["advice"]


def test_no_weights_for_the_default(monkeypatch) -> None:
    def locate(model: str | None, weights: str | None) -> None:
        raise UsageError("no weights are here: fetch them")

    monkeypatch.setattr(registry, "locate", locate)
    assert findings()["default"]["advice"] == "no weights are here: fetch them"
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 1


def test_little_disk(monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=5e8))
    found = findings()["disk"]
    assert "0.5 GB free" in found["value"]
    assert "can be resumed" in found["advice"]
    assert environment.SMALL_DISK == 1e9


def test_a_checkout_that_is_not_installed(monkeypatch) -> None:
    known = metadata.version

    def version(name: str) -> str:
        if name == "segcli":
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "version", version)
    assert CliRunner().invoke(app, ["--version"]).output == f"segcli {__version__}\n"
    found = next(environment._versions())
    assert (found.value, found.works) == (f"{__version__}, a checkout", False)
    assert "it is not installed" in str(found.advice)


def test_the_version_is_that_of_the_package() -> None:
    pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    assert tomllib.loads(pyproject.read_text())["project"]["version"] == __version__
