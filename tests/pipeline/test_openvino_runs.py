"""Runs with OpenVINO as the runtime; skipped where it is not installed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_data import rows

from segcli.errors import UsageError
from segcli.models import openvino_graph
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Event, Note, Started
from segcli.store import read_settings

needs_openvino = pytest.mark.skipif(
    not openvino_graph.is_installed(), reason="OpenVINO is not installed (extra openvino)"
)


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SEGCLI_RUNTIME")


def run(folder: Path, out: Path, **options: Any) -> list[Event]:
    given = {"model": "toy", "device": "cpu", "precision": "float32", "replicas": 0} | options
    events: list[Event] = []
    predict(PredictOptions(source=str(folder), out=out, **given), report=events.append)
    return events


@needs_openvino
def test_rows_are_those_of_torch_and_the_output_keeps_its_runtime(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder = pictures(5, sizes=((48, 64), (64, 48), (100, 20)))
    run(folder, tmp_path / "torch.parquet", runtime="torch")
    out = tmp_path / "openvino.parquet"
    first = run(folder, out, runtime="openvino", limit=2)
    assert any("converting" in e.message for e in first if isinstance(e, Note))
    assert read_settings(out)["runtime"] == "openvino"
    resumed = run(folder, out)  # "auto"
    assert [e.runtime for e in resumed if isinstance(e, Started)] == ["openvino"]
    assert rows(out) == rows(tmp_path / "torch.parquet")
    with pytest.raises(UsageError, match="`runtime`: openvino there, torch now"):
        run(pictures(6), out, runtime="torch")


@needs_openvino
@pytest.mark.slow
def test_worker_processes_use_the_runtime_of_the_first(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder = pictures(8)
    run(folder, tmp_path / "torch.parquet", runtime="torch")
    out = tmp_path / "openvino.parquet"
    told = run(folder, out, runtime="openvino", replicas=2, chunk_size=2)
    assert [e.runtime for e in told if isinstance(e, Started)] == ["openvino"]
    assert rows(out) == rows(tmp_path / "torch.parquet")


@needs_openvino
def test_weights_without_an_int8_form(pictures: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no int8 form: .*segcli weights quantize"):
        run(pictures(1), tmp_path / "m.parquet", precision="int8")
    assert not (tmp_path / "m.parquet").exists()


def test_a_run_that_asks_for_openvino_without_it(
    pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_graph, "is_installed", lambda: False)
    with pytest.raises(UsageError, match=r"not installed \(pip install 'segcli\[openvino\]'\)"):
        run(pictures(1), tmp_path / "m.parquet", runtime="openvino")
    told = run(pictures(1), tmp_path / "m.parquet")
    assert [e.runtime for e in told if isinstance(e, Started)] == ["torch"]
    assert "runtime" not in read_settings(tmp_path / "m.parquet")
