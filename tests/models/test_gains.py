"""Ratios of speed are measured once on each machine."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from segcli.models import gains


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "segcli/gains.json"


@pytest.fixture
def measured() -> Callable[..., tuple[float, bool]]:
    """measured(gain, *facts) -> the ratio that counts, and whether it was measured now."""

    def of(gain: float, *facts: str) -> tuple[float, bool]:
        calls: list[float] = []
        return gains.kept_gain(facts, ("numpy",), lambda: calls.append(gain) or gain), bool(calls)

    return of


def ratios(file: Path) -> list[float]:
    return [ratio for ratio, _ in json.loads(file.read_bytes()).values()]


def test_a_ratio_is_measured_once_for_its_facts(file: Path, measured) -> None:
    assert measured(1.5, "a", "b") == (1.5, True)
    assert measured(9.0, "a", "b") == (1.5, False)
    assert measured(0.5, "a") == (0.5, True)
    assert sorted(ratios(file)) == [0.5, 1.5]


def test_the_process_that_measures_first_decides(file: Path, measured) -> None:
    found = gains.kept_gain(("a",), ("numpy",), lambda: measured(1.5, "a") and 2.5)
    assert found == 1.5
    assert ratios(file) == [1.5]


def test_another_machine_version_or_limit_of_instructions_is_measured_anew(
    file: Path, measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert measured(1.0, "a") == (1.0, True)
    with monkeypatch.context() as other:
        other.setattr("platform.node", lambda: "elsewhere")
        assert measured(2.0, "a") == (2.0, True)
    with monkeypatch.context() as other:
        other.setattr(gains, "version", lambda name: "0")
        assert measured(3.0, "a") == (3.0, True)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert measured(4.0, "a") == (4.0, True)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    assert measured(5.0, "a") == (1.0, False)


@pytest.mark.parametrize(
    "content",
    [b"[", b"[1]", b'{"a": "fast"}', b'{"a": 1.5}', pytest.param(b"[" * 100_000, id="deep")],
)
def test_a_damaged_file_is_written_again(content: bytes, file: Path, measured) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    assert measured(1.5, "a") == (1.5, True)
    assert measured(2.5, "a") == (1.5, False)


def test_a_ratio_is_measured_again_after_a_month(
    file: Path, measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(1.5, "a")
    start = time.time()
    for days, expected in ((29, (1.5, False)), (31, (2.5, True)), (0, (2.5, True))):
        monkeypatch.setattr(time, "time", lambda days=days: start + days * 86400)
        assert measured(2.5, "a") == expected
    assert len(ratios(file)) == 1


def test_the_oldest_ratios_go_first(file: Path, measured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gains, "_MOST", 2)
    for gain, fact in enumerate("abc"):
        measured(float(gain), fact)
    assert ratios(file) == [1.0, 2.0]


def test_without_a_cache_each_run_measures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, measured
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert measured(1.5, "a") == (1.5, True)
    assert measured(2.5, "a") == (2.5, True)
