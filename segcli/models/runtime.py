"""The runtime of a model: what computes its static part and its heads, torch or OpenVINO."""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segcli import __version__
from segcli.errors import UsageError
from segcli.models import openvino_graph
from segcli.models.device import autocast, is_int8, one_thread, torch_precision
from segcli.models.gains import kept_gain
from segcli.models.openvino_graph import STATIC, Graph, Inconvertible, fixed_canvas
from segcli.plugin import Compilable, Headed, Segmenter

if TYPE_CHECKING:
    import torch
    from torch import Tensor

RUNTIMES = ("auto", "torch", "openvino")
VARIABLE = "SEGCLI_RUNTIME"
"""The environment variable of the runtime that "auto" means."""

_PAYS = 1.1  # times as fast; a smaller gain is not worth different rows
_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_MEASURED = (256, 384)  # px: the canvas of the comparison
_MOST_SHAPES, _MOST_BYTES = 32, 2 << 30  # compiled at a time: constants are copied for each
_ALONE = threading.Lock()
"""Held while OpenVINO computes, for callers in several threads: they share requests and outputs,
and two that use the bindings (2026.4) for the first time would wait for each other for ever."""
_REGIONS = (8, 16, 32, 64, 104, 160, 304)  # of an image, for which a head is compiled


class Requests:
    """A graph, compiled for each shape of its input when it first comes.

    Compiling takes a tenth of a second; what was used last is kept.
    """

    def __init__(self, graph: Graph, precision: str) -> None:
        self._model = graph.model()
        self._hint = _HINTS[torch_precision(precision)]
        self._core = openvino_graph.library().Core()
        self._kept: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        size = max(1, len(graph.constants))
        self._most = max(2, min(_MOST_SHAPES, _MOST_BYTES // size))

    def __call__(self, x: Tensor) -> list[Tensor]:
        """The outputs, which the next call with this shape overwrites."""
        import torch

        request = self._request(tuple(x.shape))
        found = request.infer([x.numpy()], share_inputs=True, share_outputs=True).values()
        return [torch.from_numpy(y) for y in found]

    def forget(self) -> None:
        """Drop what is compiled; later calls compile again, for torch's threads of that time."""
        self._kept.clear()

    def shapes(self) -> list[tuple[int, ...]]:
        """Those for which it is compiled now."""
        return list(self._kept)

    def _request(self, shape: tuple[int, ...]) -> Any:
        if shape in self._kept:
            self._kept.move_to_end(shape)
            return self._kept[shape]
        import torch

        while len(self._kept) >= self._most:
            self._kept.popitem(last=False)
        self._model.reshape([*shape])
        options = {
            "INFERENCE_PRECISION_HINT": self._hint,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # workers have cores of their own already
            **openvino_graph.NO_SNIPPETS,
        }
        request = self._core.compile_model(self._model, "CPU", options).create_infer_request()
        self._kept[shape] = request
        return request


class Compiled:
    """A graph in place of `Compilable.static`, for one image at a time, so that an image's result
    does not depend on its batch. `digest` is that of the graph, without its constants."""

    def __init__(self, graph: Graph, precision: str) -> None:
        self.digest = hashlib.sha256(graph.description).hexdigest()
        self.requests = Requests(graph, precision)

    def __call__(self, x: Tensor) -> list[Tensor]:
        """See Compilable.static; float32, maps in channels-last memory."""
        import torch

        made: list[Tensor] = []
        for b, image in enumerate(x.contiguous()):
            with _ALONE:
                parts = self.requests(image[None])
                made = made or [torch.empty((len(x), *part.shape[1:])) for part in parts]
                for whole, part in zip(made, parts, strict=True):
                    whole[b : b + 1] = part
        return _first(made)

    def forget(self) -> None:
        """See Requests."""
        self.requests.forget()


class CompiledHead:
    """A graph in place of one of `Headed.heads`, for one image at a time as well.

    It is compiled for a few numbers of regions, to which each image is filled up.
    """

    def __init__(self, graph: Graph, precision: str) -> None:
        self.requests = Requests(graph, precision)

    def __call__(self, x: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """See Headed.compiled_heads; float32, maps in channels-last memory. At least one region."""
        import torch

        found = [
            self._of_image(own) for own in torch.split(x.permute(0, 2, 3, 1), [*counts]) if len(own)
        ]
        return _first([torch.cat(parts) for parts in zip(*found, strict=True)])

    def _of_image(self, own: Tensor) -> list[Tensor]:
        import torch

        parts = []
        for some in torch.split(own, _REGIONS[-1]):
            filled = torch.zeros((next(n for n in _REGIONS if n >= len(some)), *some.shape[1:]))
            filled[: len(some)] = some
            with _ALONE:
                parts.append([y[: len(some)].clone() for y in self.requests(filled)])
        return [torch.cat(each) for each in zip(*parts, strict=True)]


def _first(made: Sequence[Tensor]) -> list[Tensor]:
    """Maps (B, H, W, C) as (B, C, H, W)."""
    return [y.permute(0, 3, 1, 2) if y.dim() == 4 else y for y in made]


@dataclass(frozen=True, slots=True)
class Parts:
    """What is compiled of a model; `heads` by their names, those without a graph left out."""

    static: Compiled
    heads: dict[str, CompiledHead] = field(default_factory=dict)


def compiled_for(
    model: Segmenter,
    runtime: str,
    *,
    precision: str,
    device: torch.device,
    graphs: Callable[[Compilable], Mapping[str, Graph]],
    note: Callable[[str], None],
) -> Parts | None:
    """The parts of `model`, not fused yet, compiled with OpenVINO; None to stay with torch.

    `graphs` gives the model's graphs. With "auto", None if OpenVINO is not installed or cannot be
    used; `note` gets a line where it lacks an operator. Raises UsageError if it is asked for and
    cannot be used.
    """
    wanted = runtime == "openvino"
    reason = _unusable(model, precision, device)
    if runtime == "torch" or (reason is not None and not wanted):
        return None
    if reason is not None:
        raise UsageError(f"OpenVINO cannot be used: {reason}; use `runtime` torch")
    assert isinstance(model, Compilable)
    try:
        found = {**graphs(model)}
        static = Compiled(found.pop(STATIC), precision)
        return Parts(static, {name: CompiledHead(g, precision) for name, g in found.items()})
    except Inconvertible as error:
        if wanted:
            raise UsageError(
                f"OpenVINO cannot compute {_name(model)}: {error}; use `runtime` torch"
            ) from error
        note(f"torch computes everything, because OpenVINO cannot compute {_name(model)}: {error}")
        return None


def use(
    model: Segmenter,
    compiled: Parts | None,
    runtime: str,
    *,
    precision: str,
    device: torch.device,
) -> str:
    """Let `model`, on its device and fused, compute with `compiled`; returns its runtime.

    "auto" measures once on each machine (`gains`), and uses OpenVINO where it is faster than torch.
    """
    if compiled is None:
        return "torch"
    assert isinstance(model, Compilable)
    if runtime == "auto":
        gain = kept_gain(
            ("openvino", compiled.static.digest, precision, f"segcli {__version__}"),
            ("torch", "openvino"),
            lambda: openvino_gain(model, compiled.static, precision, device),
        )
        if gain < _PAYS:
            return "torch"
    model.compiled = compiled.static
    if isinstance(model, Headed):
        model.compiled_heads.update(compiled.heads)
    return "openvino"


def resolve_runtime(name: str, precision: str) -> str:
    """ "auto" is $SEGCLI_RUNTIME if it is set; int8 needs OpenVINO. Raises UsageError."""
    of = ""
    if name == "auto":
        name, of = os.environ.get(VARIABLE) or "auto", f" in the environment variable {VARIABLE}"
    if name not in RUNTIMES:
        raise UsageError(f"unknown runtime {name!r}{of}; expected {', '.join(RUNTIMES)}")
    if is_int8(precision):
        if name == "torch":
            raise UsageError("precision int8 needs `runtime` openvino; torch does not compute it")
        return "openvino"
    return name


def _unusable(model: Segmenter, precision: str, device: torch.device) -> str | None:
    """Why OpenVINO cannot be used, if so."""
    if not openvino_graph.is_installed():
        return f"it is not installed ({openvino_graph.INSTALL})"
    if device.type != "cpu":
        return f"it computes on the CPU, not on {device}"
    if torch_precision(precision) not in _HINTS:
        return f"precision {precision} is not one of {', '.join(_HINTS)}"
    if not isinstance(model, Compilable):
        return f"{model.info.family} has no static part that another runtime can compute"
    return None


def _name(model: Segmenter) -> str:
    return f"{model.info.family}/{model.info.variant}"


def openvino_gain(
    model: Compilable, compiled: Compiled, precision: str, device: torch.device
) -> float:
    """How many times as fast OpenVINO computes the static part as torch: the best of three runs of
    each, in one thread's processor time, after one to warm up."""
    import torch

    best: dict[Callable[[Tensor], list[Tensor]], float]
    best = {model.static: math.inf, compiled: math.inf}
    x = torch.zeros((1, 3, *(fixed_canvas(model) or _MEASURED)))
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), autocast(device, precision), one_thread(device):
        for turn in range(4):
            for compute in best:
                start = time.process_time()  # OpenVINO computes in threads of its own
                compute(x)
                seconds = time.process_time() - start
                if turn:
                    best[compute] = min(best[compute], seconds)
    compiled.forget()  # what was compiled for one thread
    return best[model.static] / best[compiled]
