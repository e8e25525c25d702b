"""Parts of a network as OpenVINO graphs: the static part, which is converted once and kept in the
user's cache, and the heads of a second stage.

Conversion takes seconds, and compiling a graph for a canvas a tenth of a second, so only the graph
is kept.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from segcli import __version__
from segcli.errors import UsageError
from segcli.files import cache_folder, replacing
from segcli.plugin import Compilable, Fusible, Headed
from segcli.types import Size

if TYPE_CHECKING:
    from torch import Tensor

INSTALL = "pip install 'segcli[openvino]'"
PREFIX = "openvino."  # of the graphs' tensors in a file
STATIC = ""
"""The name of the static part among the graphs of a model; the others have the heads' names."""

_PARTS = ("description", "constants")
_EXAMPLE, _OTHER = (128, 192), (192, 128)  # canvases that trace a network, and check its graph
_REGIONS = 2, 5  # that trace a head, and check its graph
# OpenVINO's generated kernels ("snippets") crash the process while they are compiled for some sums
# of normalised maps, as in PANet's pyramid (2026.4). Other networks are within 2 % without them.
NO_SNIPPETS = {"SNIPPETS_MODE": "DISABLE"}
_NEAR = 1e-3  # of a tensor's spread: how far its values may be from torch's
_KEPT_S = 90 * 86400.0  # a graph that was not used for so long is deleted


class Inconvertible(Exception):
    """OpenVINO cannot compute the network, or computes something else."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A serialised graph, its `description` as XML, and its `constants`. Neither contains code."""

    description: bytes
    constants: bytes

    @staticmethod
    def of(model: Any) -> Graph:
        """The graph of an openvino.Model."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "graph.xml"
            library().save_model(model, path, compress_to_fp16=False)
            return Graph(path.read_bytes(), path.with_suffix(".bin").read_bytes())

    def model(self) -> Any:
        """The openvino.Model; raises Inconvertible if it is not one that this version can read."""
        openvino = library()
        try:
            return openvino.Core().read_model(self.description, self.constants)
        except RuntimeError as error:
            raise Inconvertible(f"OpenVINO cannot read the graph: {reason_of(error)}") from error


def tensors_of(graphs: Mapping[str, Graph]) -> dict[str, Tensor]:
    """Both parts of each graph as uint8 tensors, by their names in a file."""
    import torch

    return {
        f"{PREFIX}{name}{'.' if name else ''}{part}": torch.frombuffer(
            bytearray(getattr(graph, part)), dtype=torch.uint8
        )
        for name, graph in graphs.items()
        for part in _PARTS
    }


def graphs_of(tensors: Mapping[str, Tensor]) -> dict[str, Graph]:
    """The inverse of `tensors_of`, from among other tensors; empty if there are no graphs."""
    found: dict[str, dict[str, bytes]] = {}
    for key, tensor in tensors.items():
        if key.startswith(PREFIX):
            name, _, part = key.removeprefix(PREFIX).rpartition(".")
            found.setdefault(name, {})[part] = bytes(tensor.numpy().data)
    return {name: Graph(**parts) for name, parts in found.items() if {*parts} == {*_PARTS}}


def is_installed() -> bool:
    return find_spec("openvino") is not None


def library(name: str = "openvino") -> Any:
    """The module `name`, openvino or nncf. Raises UsageError if it does not load."""
    # Both report their use to a web service, but not where this module is missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    if name == "nncf":  # with it, torch looks for a compiler of CUDA, and warns without a GPU
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f"this needs {name}, which does not load ({error}): {INSTALL}") from None


def kept_graph(model: Compilable, sha256: str, note: Callable[[str], None]) -> Graph:
    """The graph of the static part of `model`, whose weights have this sha256; converted only once.

    Raises Inconvertible, UsageError without OpenVINO.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save

    folder = cache_folder()
    if folder is None:
        note(
            "converting the network for OpenVINO takes some seconds, in each run because this user "
            "has no home folder to keep the result in; set XDG_CACHE_HOME to another folder"
        )
        return converted(model)
    path = folder / "openvino" / f"{_key(model, sha256)}.safetensors"
    with suppress(OSError, SafetensorError):
        if found := graphs_of(load_file(path)).get(STATIC):
            os.utime(path)
            return found
    note("converting the network for OpenVINO: it takes some seconds, once for these weights")
    graph = converted(model)
    with suppress(OSError):  # without a cache, the next run converts again
        with replacing(path) as unfinished:
            unfinished.write_bytes(save(tensors_of({STATIC: graph})))
        for other in path.parent.glob("*.safetensors"):
            if time.time() - other.stat().st_mtime > _KEPT_S:
                other.unlink()
    return graph


def _key(model: Compilable, sha256: str) -> str:
    """A digest of all that decides the graph: weights, canvas, versions, and the code of the
    network."""
    digest = hashlib.sha256()
    parts = [model.info.family, model.info.variant, sha256, str(fixed_canvas(model))]
    parts += [__version__, version("torch"), version("openvino")]
    kinds = {type(module).__module__ for module in getattr(model, "modules", list)()}
    for package in sorted({name.partition(".")[0] for name in kinds}):
        with suppress(PackageNotFoundError):  # of segcli's own plugins
            parts.append(f"{package} {version(package)}")
    digest.update("\n".join(parts).encode())
    for kind in type(model).__mro__:
        with suppress(OSError, TypeError):
            digest.update(inspect.getsource(kind).encode())
    return digest.hexdigest()[:32]


def converted(model: Compilable) -> Graph:
    """The graph of the static part, its norms folded, for every batch and canvas that it takes.

    Raises Inconvertible if OpenVINO lacks an operator or if its results are not torch's.
    """
    folded, fixed = _folded(model), fixed_canvas(model)
    example, other = ((1, 3, *(fixed or canvas)) for canvas in (_EXAMPLE, _OTHER))
    every = (-1, 3, *(fixed or (-1, -1)))
    return _converted(_part(folded, folded.static), example, other, every)


def converted_heads(model: Headed) -> dict[str, Graph]:
    """The graphs of the heads by their names, for any number of regions; raises Inconvertible.

    Features are (N, h, w, C) there. Linear layers are pointwise convolutions: on a processor with
    AVX2, int8 takes half the time of float32 in these, and 0.85 times in products of matrices.
    """
    from segcli.models.pointwise import use_pointwise

    folded, graphs = _folded(model), {}
    use_pointwise(folded)
    for name, head in folded.heads().items():
        channels, *cells = head.shape
        shapes = [(count, *cells, channels) for count in (*_REGIONS, -1)]
        graphs[name] = _converted(_part(folded, head.compute, rows=True), *shapes)
    return graphs


def _folded(model: Any) -> Any:
    """A copy with norms folded."""
    import torch

    folded = copy.deepcopy(model)
    if isinstance(folded, Fusible):
        folded.fuse(torch.float32)
    return folded


def _converted(
    network: Any, example: tuple[int, ...], other: tuple[int, ...], every: tuple[int, ...]
) -> Graph:
    """The graph of a module for inputs of the shape `every`, where -1 stands for any number: traced
    with the shape `example` and compared with torch on `other`."""
    import torch

    openvino = library()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing: sizes become constants, which is checked
        try:
            graph = openvino.convert_model(network, example_input=torch.zeros(example))
            graph.reshape({0: openvino.PartialShape([*every])})
            made = Graph.of(graph)
            graph.reshape({0: openvino.PartialShape([*other])})
            compute = openvino.Core().compile_model(
                graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"} | NO_SNIPPETS
            )
            x = torch.randn(other, generator=torch.Generator().manual_seed(0))
            found = [torch.from_numpy(y) for y in compute([x.numpy()]).values()]
        # An operator that is missing, or a network that cannot be traced, can raise anything.
        except Exception as error:
            raise Inconvertible(reason_of(error)) from error
        _check(found, network(x))
    return made


def fixed_canvas(model: Compilable) -> Size | None:
    """The only canvas (H, W) that the static part takes; None: every canvas."""
    canvas: Size | None = getattr(model, "canvas", None)
    return canvas


def _part(network: Any, compute: Callable[[Tensor], list[Tensor]], *, rows: bool = False) -> Any:
    """A module of what `network` computes with `compute`, whose maps (B, C, H, W) become
    (B, H, W, C): the channels of a cell are adjacent, as in torch's channels-last memory. With
    `rows` its input has them so."""
    from torch import nn

    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            found = compute(x.permute(0, 3, 1, 2) if rows else x)
            return tuple(y.permute(0, 2, 3, 1) if y.dim() == 4 else y for y in found)

    return Part().eval()


def _check(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    shapes = [[tuple(y.shape) for y in ys] for ys in (found, expected)]
    if shapes[0] != shapes[1]:
        raise Inconvertible(f"its shapes are {shapes[0]} where torch's are {shapes[1]}")
    for y, other in zip(found, expected, strict=True):
        spread = max(float(other.std(correction=0)), 1e-6)
        error = float((y - other).abs().max()) / spread
        if not error <= _NEAR:
            raise Inconvertible(f"its results differ from torch's by {error:.1g} of their spread")


def reason_of(error: Exception) -> str:
    """The line that matters of a long message."""
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    after = [b for a, b in zip(lines, lines[1:], strict=False) if a == "Exception:"]
    named = [line for line in lines if line.startswith("No conversion rule")]
    return next(iter([*named, *after, *lines]), type(error).__name__)[:200]
