"""Networks that OpenVINO computes; skipped where it is not installed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from kit.compilable import INFO, Network
from torch import Tensor, nn
from torch.nn import functional as F

from segcli.models import openvino_graph
from segcli.models.openvino_graph import (
    Graph,
    Inconvertible,
    converted,
    converted_heads,
    kept_graph,
)
from segcli.models.runtime import Compiled, CompiledHead
from segcli.plugin import Head
from segcli_blocks.deform import DeformConv2d

pytestmark = pytest.mark.skipif(
    not openvino_graph.is_installed(), reason="OpenVINO is not installed (extra openvino)"
)


class Pyramid(Network):
    """Two maps, of which the finer gets the coarser one, and a flat output."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.coarse = nn.Conv2d(8, 8, 3, stride=2, padding=1)

    def static(self, x: Tensor) -> list[Tensor]:
        fine = self.fine(x)
        coarse = self.coarse(fine).relu()
        fine = fine + F.interpolate(coarse, fine.shape[-2:], mode="nearest")
        return [fine, coarse, fine.mean((2, 3))]


class Deformed(Network):
    """Deformable convolutions, as in YOLACT++, whose taps move."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.deformed = nn.Conv2d(3, 8, 3, 2, 1), DeformConv2d(8, 8, stride=2)
        nn.init.normal_(self.deformed.conv_offset_mask.weight, std=0.3)

    def static(self, x: Tensor) -> list[Tensor]:
        return [self.deformed(self.conv(x).relu())]


class NormalisedSum(Network):
    """A sum as in PANet's pyramid: compiling it with OpenVINO's snippets crashes the process."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 32, 3, 4, 1), nn.Conv2d(32, 32, 3, 2, 1)
        self.down = nn.Sequential(nn.Conv2d(32, 32, 3, 2, 1), nn.GroupNorm(8, 32), nn.ReLU())
        self.lateral = nn.Sequential(nn.Conv2d(32, 32, 3, 1, 1), nn.GroupNorm(8, 32))

    def static(self, x: Tensor) -> list[Tensor]:
        fine = self.fine(x).relu()
        return [self.down(fine) + self.lateral(self.coarse(fine).relu())]


class Missing(Network):
    def static(self, x: Tensor) -> list[Tensor]:
        return [torch.linalg.svdvals(x)]


class Fixed(Network):
    """Tracing makes a constant of the height."""

    def static(self, x: Tensor) -> list[Tensor]:
        return [x * int(x.shape[2])]


class Cut(Network):
    def static(self, x: Tensor) -> list[Tensor]:
        return [x[:, :, : int(x.shape[2])]]


@pytest.fixture(scope="module")
def network() -> Pyramid:
    torch.manual_seed(0)
    return Pyramid().eval()


@pytest.fixture(scope="module")
def graph(network: Pyramid) -> Graph:
    return converted(network)


@pytest.mark.parametrize("precision", ["float32", "int8+float32"])
@torch.inference_mode()
def test_results_are_those_of_torch_on_every_canvas(network, graph, precision) -> None:
    compiled = Compiled(graph, precision)
    for batch, height, width in ((1, 64, 96), (3, 96, 64), (2, 64, 96)):
        x = torch.randn(batch, 3, height, width).contiguous(memory_format=torch.channels_last)
        found, expected = compiled(x), network.static(x)
        for y, other in zip(found, expected, strict=True):
            torch.testing.assert_close(y, other, atol=1e-4, rtol=1e-4)
        assert found[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", [Deformed, NormalisedSum])
def test_operators_that_need_care(kind) -> None:
    torch.manual_seed(0)
    network = kind().eval()
    x = torch.randn(1, 3, 96, 64)
    with torch.inference_mode():
        expected = network.static(x)
    (found,) = Compiled(converted(network), "float32")(x)
    torch.testing.assert_close(found, expected[0], atol=1e-4, rtol=1e-4)


def test_an_image_does_not_depend_on_its_batch_and_results_are_kept(graph) -> None:
    compiled = Compiled(graph, "float32")
    x = torch.randn(3, 3, 64, 64)
    together = compiled(x)
    alone = [compiled(x[i : i + 1]) for i in range(3)]
    for outputs in zip(together, *alone, strict=True):
        assert torch.equal(outputs[0], torch.cat(outputs[1:]))


def test_only_the_last_canvases_stay_compiled(graph, monkeypatch) -> None:
    monkeypatch.setattr("segcli.models.runtime._MOST_SHAPES", 2)
    compiled = Compiled(graph, "float32")
    for side in (32, 64, 32, 96):
        compiled(torch.zeros(1, 3, side, side))
    assert compiled.requests.shapes() == [(1, 3, 32, 32), (1, 3, 96, 96)]


def test_several_threads_may_call_it(graph) -> None:
    compiled = Compiled(graph, "float32")
    images = [torch.randn(1, 3, 64, 64) for _ in range(40)]
    with ThreadPoolExecutor(4) as pool:
        together = [found[0] for found in pool.map(compiled, images)]
    for found, image in zip(together, images, strict=True):
        assert torch.allclose(found, compiled(image)[0], atol=1e-5)


class Second(Pyramid):
    """A head with a linear layer, and one that keeps maps."""

    def __init__(self) -> None:
        super().__init__()
        self.compiled_heads: dict = {}
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.linear = nn.Linear(8 * 4 * 4, 5)

    def heads(self) -> dict[str, Head]:
        return {"flat": Head(self.flat, (8, 4, 4)), "maps": Head(self.maps, (8, 6, 6))}

    def flat(self, x: Tensor) -> list[Tensor]:
        found = self.linear(self.conv(x).relu().flatten(1))
        return [found, found[:, :2]]

    def maps(self, x: Tensor) -> list[Tensor]:
        return [self.conv(x)]


@pytest.mark.parametrize("name", ["flat", "maps"])
@torch.inference_mode()
def test_heads_are_those_of_torch_image_by_image(name: str, monkeypatch) -> None:
    monkeypatch.setattr("segcli.models.runtime._REGIONS", (2, 4))
    torch.manual_seed(0)
    network = Second().eval()
    head = network.heads()[name]
    graph = converted_heads(network)[name]
    assert isinstance(network.linear, nn.Linear)  # the network stays as it was
    compiled, counts = CompiledHead(graph, "float32"), [3, 0, 7, 1]
    x = torch.randn(11, *head.shape).contiguous(memory_format=torch.channels_last)
    together, expected = compiled(x, counts), head.compute(x)
    for y, other in zip(together, expected, strict=True):
        torch.testing.assert_close(y, other, atol=1e-4, rtol=1e-4)
    assert compiled.requests.shapes() == [(4, *head.shape[1:], 8), (2, *head.shape[1:], 8)]
    alone = compiled(x[3:10], [7])
    for y, other in zip(together, alone, strict=True):
        assert torch.equal(y[3:10], other)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Missing, "No conversion rule found for operations: aten::linalg_svdvals"),
        (Fixed, "its results differ from torch's by"),
        (Cut, "its shapes are"),
    ],
)
def test_a_network_that_cannot_be_converted(kind, reason) -> None:
    with pytest.raises(Inconvertible, match=reason):
        converted(kind().eval())


def test_a_graph_is_converted_once(network, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    notes: list[str] = []
    first = kept_graph(network, "0" * 64, notes.append)
    assert kept_graph(network, "0" * 64, notes.append) == first
    assert len(notes) == 1
    kept_graph(network, "1" * 64, notes.append)  # other weights
    assert len(notes) == 2
    (old, _) = sorted((tmp_path / "segcli/openvino").iterdir())
    old.write_bytes(b"not a graph")
    assert kept_graph(network, "0" * 64, notes.append).constants == first.constants


def test_without_a_cache_folder_each_run_converts(network, monkeypatch) -> None:
    monkeypatch.setattr(openvino_graph, "cache_folder", lambda: None)
    notes: list[str] = []
    assert kept_graph(network, "0" * 64, notes.append).description
    assert "XDG_CACHE_HOME" in notes[0]


def test_nothing_is_reported_to_anyone() -> None:
    import sys

    openvino_graph.library()
    assert sys.modules["openvino_telemetry"] is None
    assert INFO.family == "toy"
