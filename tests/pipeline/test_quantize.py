"""An int8 form of weights; skipped where OpenVINO and NNCF are not installed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from kit.compilable import INFO, Network
from torch import Tensor, nn

from segcli.errors import UsageError
from segcli.models import openvino_graph, registry
from segcli.models.checkpoint import load, read_info
from segcli.models.openvino_graph import graphs_of
from segcli.models.runtime import Compiled, CompiledHead
from segcli.pipeline.quantize import _int8, chosen, quantize
from segcli.plugin import Head
from segcli.sources.several import open_sources
from segcli.types import Batch, Instances

needs_openvino = pytest.mark.skipif(
    not openvino_graph.is_installed(), reason="OpenVINO is not installed (extra openvino)"
)


class Convolutions(Network):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(16, 4, 1),
        )  # fmt: skip
        self.body: nn.Module = nn.Identity()

    def static(self, x: Tensor) -> list[Tensor]:
        return [self.layers(self.body(x))]


class TwoStage(Convolutions):
    """With a head that sees three windows of each image's map, and one that sees nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.compiled_heads: dict[str, Callable[[Tensor, Sequence[int]], list[Tensor]]] = {}
        self.linear = nn.Linear(4 * 4 * 4, 6)

    def heads(self) -> dict[str, Head]:
        shape = (4, 4, 4)
        return {"windows": Head(self.of_windows, shape), "idle": Head(self.of_windows, shape)}

    def of_windows(self, x: Tensor) -> list[Tensor]:
        return [self.linear(x.flatten(1))]

    @torch.inference_mode()
    def predict(self, batch: Batch, **options: object) -> list[Instances]:
        (maps,) = (self.compiled or self.static)(batch.pixels.float() / 255)
        self.compiled_heads["windows"](windows(maps), [3])
        return []


def windows(maps: Tensor) -> Tensor:
    return torch.cat([maps[:, :, i : i + 4, i : i + 4] for i in range(3)])


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Convolutions:
    """What `registry.load_model` loads; graphs are cached in a folder of the test."""
    model = Convolutions().eval()
    loaded = registry.Loaded(model, INFO, "tiny.safetensors", "0" * 64)
    monkeypatch.setattr(registry, "load_model", lambda *_: loaded)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return model


@needs_openvino
def test_weights_get_an_int8_form(network, pictures: Callable[..., Path], tmp_path: Path) -> None:
    images, out = pictures(9, sizes=((64, 64), (64, 96))), tmp_path / "int8.safetensors"
    (images / "bad.png").write_bytes(b"no")
    notes: list[str] = []
    made = quantize(None, [str(images)], out, images=100, note=notes.append)
    assert (made.model, made.images, made.skipped) == ("toy/tiny", 9, 1)
    assert read_info(out) == INFO
    assert network.compiled is None
    _, state = load(out)
    graph = graphs_of(state)[""]
    assert b'element_type="i8"' in graph.description
    for name, tensor in network.state_dict().items():
        assert torch.equal(state[name], tensor)
    x = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        found, expected = Compiled(graph, "int8+float32")(x)[0], network.static(x)[0]
    difference = (found - expected).abs().mean() / expected.std()
    assert 0 < difference < 0.15  # int8, and not far away
    with pytest.raises(UsageError, match="exists; remove it"):
        quantize(None, [str(images)], out, note=notes.append)


@needs_openvino
def test_heads_get_an_int8_form(
    network, pictures: Callable[..., Path], tmp_path: Path, monkeypatch
) -> None:
    model = TwoStage().eval()
    loaded = registry.Loaded(model, INFO, "tiny.safetensors", "0" * 64)
    monkeypatch.setattr(registry, "load_model", lambda *_: loaded)
    out = tmp_path / "int8.safetensors"
    quantize(None, [str(pictures(8))], out, note=lambda _: None)
    assert model.compiled_heads == {}
    graphs = graphs_of(load(out)[1])
    assert sorted(graphs) == ["", "windows"]
    assert b'element_type="i8"' in graphs["windows"].description
    with torch.inference_mode():
        x = windows(model.static(torch.rand(1, 3, 64, 64))[0])
        found = CompiledHead(graphs["windows"], "int8+float32")(x, [3])[0]
        expected = model.of_windows(x)[0]
    difference = (found - expected).abs().mean() / expected.std()
    assert 0 < difference < 0.15


@needs_openvino
@pytest.mark.slow
def test_a_body_that_int8_spoils_stays_in_float(
    network: Convolutions, pictures: Callable[..., Path], tmp_path: Path, monkeypatch
) -> None:
    network.body, network.layers = nn.Sequential(network.layers[0]), network.layers[1:]
    monkeypatch.setattr("segcli.pipeline.quantize._FAR", 0.0)
    notes: list[str] = []
    out = tmp_path / "int8.safetensors"
    quantize(None, [str(pictures(8))], out, note=notes.append)
    assert "quantizing again without the body" in notes[-2]
    graph = graphs_of(load(out)[1])[""]
    assert graph.description.count(b'element_type="i8"') == 2  # not the body's weights


@needs_openvino
@pytest.mark.usefixtures("network")
def test_a_few_images_are_not_enough(pictures: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the source has 3 images; at least 8 are needed"):
        quantize(None, [str(pictures(3))], tmp_path / "int8.safetensors", note=print)


def test_images_are_spread_over_the_source(pictures: Callable[..., Path]) -> None:
    source = open_sources([str(pictures(10))])
    assert [sample.key for sample in chosen(source, 3)] == ["0000.png", "0003.png", "0006.png"]
    assert len(chosen(source, 300)) == 10


def test_without_nncf_there_is_one_sentence(monkeypatch, tmp_path: Path) -> None:
    def missing(name: str) -> object:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(openvino_graph, "import_module", missing)
    with pytest.raises(UsageError, match=r"pip install 'segcli\[openvino\]'"):
        quantize(None, ["images"], tmp_path / "int8.safetensors", note=print)


@needs_openvino
def test_nncf_compiles_without_snippets(monkeypatch) -> None:
    # With them, OpenVINO ends the process with a segmentation fault for some networks (PANet).
    graph = openvino_graph.converted(Convolutions().eval())
    openvino = openvino_graph.library()
    before, set_there = openvino.Core, []

    class Core(before):  # type: ignore[misc, valid-type]
        def set_property(self, *args: object) -> None:
            super().set_property(*args)
            set_there.append(args)

        def compile_model(self, *args: object, **options: object) -> object:
            assert set_there[-1] == ("CPU", openvino_graph.NO_SNIPPETS)
            set_there.append("compiled")
            return super().compile_model(*args, **options)

    monkeypatch.setattr(openvino, "Core", Core)
    images = list(np.random.default_rng(0).random((8, 1, 3, 64, 64), dtype=np.float32))
    _int8(graph, images, lambda x: x, None)
    assert set_there[-1] == "compiled"
    assert openvino.Core is Core
