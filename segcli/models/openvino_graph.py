"""The static part of a network as an OpenVINO graph: converted once and kept in the user's cache.

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

from segcli.errors import UsageError
from segcli.files import replacing
from segcli.plugin import Compilable, Fusible
from segcli.types import Size

if TYPE_CHECKING:
    from torch import Tensor

INSTALL = "pip install 'segcli[openvino]'"
PREFIX = "openvino."  # of the graph's tensors in a file
_EXAMPLE, _OTHER = (128, 192), (192, 128)  # canvases that trace a network, and check its graph
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

    @staticmethod
    def of_tensors(tensors: Mapping[str, Tensor]) -> Graph | None:
        """The inverse of `tensors`, from among others; None if there is no graph."""
        parts = [tensors.get(PREFIX + name) for name in ("description", "constants")]
        if any(part is None for part in parts):
            return None
        return Graph(*(bytes(part.numpy().data) for part in parts if part is not None))

    def tensors(self) -> dict[str, Tensor]:
        """Both parts as uint8 tensors, by their names in a file."""
        import torch

        parts = {"description": self.description, "constants": self.constants}
        return {
            PREFIX + name: torch.frombuffer(bytearray(part), dtype=torch.uint8)
            for name, part in parts.items()
        }

    def model(self) -> Any:
        """The openvino.Model; raises Inconvertible if it is not one that this version can read."""
        openvino = library()
        try:
            return openvino.Core().read_model(self.description, self.constants)
        except RuntimeError as error:
            raise Inconvertible(f"OpenVINO cannot read the graph: {reason_of(error)}") from error


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
    """The graph of `model`, whose weights have this sha256; converted only once.

    Raises Inconvertible, UsageError without OpenVINO.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save

    path = cache_folder() / f"{_key(model, sha256)}.safetensors"
    with suppress(OSError, SafetensorError):
        if (found := Graph.of_tensors(load_file(path))) is not None:
            os.utime(path)
            return found
    note("converting the network for OpenVINO: it takes some seconds, once for these weights")
    graph = converted(model)
    with suppress(OSError):  # without a cache, the next run converts again
        with replacing(path) as unfinished:
            unfinished.write_bytes(save(graph.tensors()))
        for other in path.parent.glob("*.safetensors"):
            if time.time() - other.stat().st_mtime > _KEPT_S:
                other.unlink()
    return graph


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "segcli/openvino"


def _key(model: Compilable, sha256: str) -> str:
    """A digest of all that decides the graph: weights, canvas, versions, and the code of the
    network."""
    digest = hashlib.sha256()
    parts = [model.info.family, model.info.variant, sha256, str(fixed_canvas(model))]
    parts += [version(name) for name in ("segcli", "torch", "openvino")]
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
    import torch

    openvino = library()
    folded = copy.deepcopy(model)
    if isinstance(folded, Fusible):
        folded.fuse(torch.float32)
    network = _last(folded)
    canvas = fixed_canvas(model)
    example, other = (canvas, canvas) if canvas else (_EXAMPLE, _OTHER)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing: sizes become constants, which is checked
        try:
            graph = openvino.convert_model(network, example_input=torch.zeros(1, 3, *example))
            graph.reshape({0: openvino.PartialShape([-1, 3, *(canvas or (-1, -1))])})
            made = Graph.of(graph)
            graph.reshape({0: openvino.PartialShape([1, 3, *other])})
            compute = openvino.Core().compile_model(
                graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"} | NO_SNIPPETS
            )
            x = torch.randn((1, 3, *other), generator=torch.Generator().manual_seed(0))
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


def _last(model: Compilable) -> Any:
    """A module of the static part, whose maps (B, C, H, W) become (B, H, W, C): the channels of a
    cell are adjacent, as in torch's channels-last memory."""
    from torch import nn

    class Static(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = model

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            found = model.static(x)
            return tuple(y.permute(0, 2, 3, 1) if y.dim() == 4 else y for y in found)

    return Static().eval()


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
