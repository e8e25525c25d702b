"""A user without a home folder, as in a container with a number for a user."""

import pwd

import pytest
from typer.testing import CliRunner

from segcli.cli.commands import application
from segcli.errors import UsageError
from segcli.files import user_folder
from segcli.models import gains, registry, speeds
from segcli.models.catalogue import describe
from segcli.models.fetch import fetch, is_here
from segcli.models.kept_weights import kept_weights, remove


@pytest.fixture(autouse=True)
def _without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(number: int) -> None:
        raise KeyError(number)

    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "SEGCLI_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_no_folder_is_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_folder("XDG_CACHE_HOME", ".cache") is None
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert str(user_folder("XDG_CACHE_HOME", ".cache")) == "/cache"


def test_ratios_and_speeds_are_not_kept() -> None:
    assert [gains.kept_gain(("a",), (), measure) for measure in (lambda: 1.5, lambda: 2.5)] == [
        1.5,
        2.5,
    ]
    assert speeds.keep_speed("a/b", speeds.Speed(0.1, "1 x 1", "cpu", "float32", "", True)) is None
    assert speeds.read_speeds() == {}


def test_what_ships_is_found_and_listed() -> None:
    family, info = registry.find(None)
    assert registry.locate(None, None).path == registry.shipped(family.name)[info.variant]
    assert is_here(family, info)
    assert {kept.kind for kept in kept_weights()} == {"shipped"}
    states = {row["model"]: row["state"] for row in describe()["models"]}
    assert states[f"{info.family}/{info.variant}"] == "here"
    assert {*states.values()} > {"here", "fetch"}


def test_where_a_folder_is_needed_the_variable_is_named() -> None:
    fetchable = next(row["model"] for row in describe()["models"] if row["state"] == "fetch")
    for need in (
        lambda: fetch(fetchable, accept_licence=True, report=print, note=print),
        lambda: registry.initial_weights(fetchable, None),
        lambda: remove(fetchable),
    ):
        with pytest.raises(UsageError, match="has no home folder.* variable SEGCLI_WEIGHTS"):
            need()
    words = ["init", "cron", "s3://footage/cam", "s3://masks/m.parquet"]
    ended = CliRunner().invoke(application(["init"]), words)
    assert isinstance(ended.exception, UsageError)
    assert "set HOME to a folder" in str(ended.exception)
