"""What computes the static part of a network: the choice, and the use of a compiled one.

The tests of OpenVINO itself are in test_openvino.py; these do not need it.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from kit.compilable import INFO, Network
from torch import Tensor

from segcli.errors import UsageError
from segcli.models import gains, openvino_graph, runtime
from segcli.models.openvino_graph import Graph, Inconvertible, graphs_of, tensors_of
from segcli.models.runtime import Parts

CPU = torch.device("cpu")
GRAPH = Graph(b"<net/>", b"1234")


@dataclass
class Fake:
    """In place of `Compiled`, without OpenVINO."""

    graph: Graph
    precision: str
    digest = "of the graph"
    is_dropped = False

    def __call__(self, x: Tensor) -> list[Tensor]:
        return [x.mean((1, 2, 3))]

    def __hash__(self) -> int:
        return id(self)

    def forget(self) -> None:
        self.is_dropped = True


@pytest.fixture(autouse=True)
def _no_measurements(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    # The versions of what is measured; OpenVINO may not be installed.
    monkeypatch.setattr(gains, "version", lambda name: "1")
    monkeypatch.setattr(openvino_graph, "is_installed", lambda: True)
    monkeypatch.setattr(runtime, "Compiled", Fake)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_graph, "is_installed", lambda: False)


def compiled_for(
    name: str, *, model: object = None, graph: object = None, notes: list[str] | None = None,
    precision: str = "float32", device: torch.device = CPU,
) -> Parts | None:  # fmt: skip
    return runtime.compiled_for(
        model or Network(), name, precision=precision, device=device,
        graphs=graph or (lambda model: {"": GRAPH}),
        note=(notes if notes is not None else []).append,
    )  # fmt: skip


def inconvertible(model: object) -> dict[str, Graph]:
    raise Inconvertible("no operator aten::strange")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["openvino", "auto"])
def test_openvino_computes_in_place_of_torch(name, monkeypatch) -> None:
    model = Network()
    compiled = compiled_for(name, model=model, precision="bfloat16")
    assert compiled is not None
    assert compiled == Parts(Fake(GRAPH, "bfloat16"))
    monkeypatch.setattr(runtime, "openvino_gain", lambda *_: 1.2)
    assert runtime.use(model, compiled, name, precision="bfloat16", device=CPU) == "openvino"
    assert model.compiled is compiled.static


@pytest.mark.usefixtures("installed")
def test_auto_stays_with_torch_where_it_is_as_fast(monkeypatch) -> None:
    model = Network()
    monkeypatch.setattr(runtime, "openvino_gain", lambda *_: 1.05)
    compiled = compiled_for("auto", model=model)
    assert runtime.use(model, compiled, "auto", precision="float32", device=CPU) == "torch"
    assert model.compiled is None


@pytest.mark.usefixtures("installed")
def test_openvino_is_measured_once_for_a_network_and_precision(monkeypatch) -> None:
    measured: list[str] = []

    def gain(model, compiled, precision, device) -> float:
        measured.append(precision)
        return 1.2

    monkeypatch.setattr(runtime, "openvino_gain", gain)
    for precision in ("float32", "float32", "bfloat16", "float32"):
        model = Network()
        compiled = compiled_for("auto", model=model, precision=precision)
        assert runtime.use(model, compiled, "auto", precision=precision, device=CPU) == "openvino"
    assert measured == ["float32", "bfloat16"]


def test_the_gain_is_measured_on_one_canvas() -> None:
    model, compiled = Network(), Fake(GRAPH, "float32")
    assert runtime.openvino_gain(model, compiled, "float32", CPU) > 0
    assert model.calls == 4
    assert compiled.is_dropped  # what was made for one thread is not what a run should use


@pytest.mark.usefixtures("absent")
def test_without_openvino_auto_is_torch_and_openvino_is_refused() -> None:
    notes: list[str] = []
    assert compiled_for("auto", notes=notes) is None
    assert notes == []
    with pytest.raises(UsageError, match=r"not installed \(pip install 'segcli\[openvino\]'\)"):
        compiled_for("openvino")


@pytest.mark.usefixtures("installed")
def test_a_missing_operator_is_one_line_with_auto_and_an_error_with_openvino() -> None:
    notes: list[str] = []
    assert compiled_for("auto", graph=inconvertible, notes=notes) is None
    assert notes == [
        "torch computes everything, because OpenVINO cannot compute toy/tiny: no operator "
        "aten::strange"
    ]
    with pytest.raises(UsageError, match="toy/tiny: no operator aten::strange; use `runtime`"):
        compiled_for("openvino", graph=inconvertible)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"device": torch.device("cuda:0")}, "on the CPU, not on cuda:0"),
        ({"precision": "float16"}, "precision float16"),
        ({"model": type("Other", (), {"info": INFO})()}, "toy has no static part"),
    ],
)
def test_where_openvino_cannot_be_used(given, reason) -> None:
    assert compiled_for("auto", **given) is None
    with pytest.raises(UsageError, match=reason):
        compiled_for("openvino", **given)


def test_the_environment_says_what_auto_is(monkeypatch) -> None:
    monkeypatch.setenv("SEGCLI_RUNTIME", "openvino")
    assert runtime.resolve_runtime("auto", "float32") == "openvino"
    assert runtime.resolve_runtime("torch", "float32") == "torch"
    monkeypatch.setenv("SEGCLI_RUNTIME", "onnx")
    with pytest.raises(UsageError, match="'onnx' in the environment variable SEGCLI_RUNTIME; exp"):
        runtime.resolve_runtime("auto", "float32")
    monkeypatch.delenv("SEGCLI_RUNTIME")
    assert runtime.resolve_runtime("auto", "float32") == "auto"


def test_int8_needs_openvino(monkeypatch) -> None:
    monkeypatch.delenv("SEGCLI_RUNTIME")
    assert runtime.resolve_runtime("auto", "int8+bfloat16") == "openvino"
    with pytest.raises(UsageError, match="int8 needs `runtime` openvino"):
        runtime.resolve_runtime("torch", "int8+float32")


def test_graphs_are_two_tensors_each_of_a_file() -> None:
    graphs = {"": GRAPH, "box": Graph(b"<other/>", b"5")}
    tensors = tensors_of(graphs)
    assert sorted(tensors) == [
        "openvino.box.constants", "openvino.box.description", "openvino.constants",
        "openvino.description",
    ]  # fmt: skip
    assert graphs_of({**tensors, "body.weight": torch.zeros(3)}) == graphs
    assert graphs_of({"body.weight": torch.zeros(3)}) == {}
