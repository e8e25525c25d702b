"""The runtime of a model: what computes its static part, torch or OpenVINO."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from segcli.errors import UsageError
from segcli.models import openvino_graph
from segcli.models.device import autocast, is_int8, one_thread, torch_precision
from segcli.models.gains import kept_gain
from segcli.models.openvino_graph import Graph, Inconvertible, fixed_canvas
from segcli.plugin import Compilable, Segmenter

if TYPE_CHECKING:
    import torch
    from torch import Tensor

RUNTIMES = ("auto", "torch", "openvino")
VARIABLE = "SEGCLI_RUNTIME"
"""The environment variable of the runtime that "auto" means."""

_PAYS = 1.1  # times as fast; a smaller gain is not worth different rows
_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_MEASURED = (256, 384)  # px: the canvas of the comparison
_MOST_CANVASES, _MOST_BYTES = 32, 2 << 30  # compiled at a time: constants are copied for each


class Compiled:
    """A graph in place of `Compilable.static`: compiled for each canvas when it first comes, for
    one image, so that an image's result does not depend on its batch.

    A compiled canvas takes a tenth of a second to make; those used last are kept. `digest` is that
    of the graph, without its constants.
    """

    def __init__(self, graph: Graph, precision: str) -> None:
        self._model = graph.model()
        self.digest = hashlib.sha256(graph.description).hexdigest()
        self._hint = _HINTS[torch_precision(precision)]
        self._core = openvino_graph.library().Core()
        self._requests: OrderedDict[tuple[int, int], Any] = OrderedDict()
        size = max(1, len(graph.constants))
        self._most = max(2, min(_MOST_CANVASES, _MOST_BYTES // size))

    def __call__(self, x: Tensor) -> list[Tensor]:
        """See Compilable.static; float32, maps in channels-last memory."""
        import torch

        request = self._request((x.shape[2], x.shape[3]))
        made: list[Tensor] = []
        for b, image in enumerate(x.contiguous().numpy()):
            # The arrays are the request's own memory, which the next image overwrites.
            found = request.infer([image[None]], share_inputs=True, share_outputs=True).values()
            parts = [torch.from_numpy(y) for y in found]
            made = made or [torch.empty((len(x), *part.shape[1:])) for part in parts]
            for whole, part in zip(made, parts, strict=True):
                whole[b : b + 1] = part
        return [y.permute(0, 3, 1, 2) if y.dim() == 4 else y for y in made]

    def forget(self) -> None:
        """Drop what is compiled; later calls compile again, for torch's threads of that time."""
        self._requests.clear()

    def _request(self, canvas: tuple[int, int]) -> Any:
        if canvas in self._requests:
            self._requests.move_to_end(canvas)
            return self._requests[canvas]
        import torch

        while len(self._requests) >= self._most:
            self._requests.popitem(last=False)
        self._model.reshape([1, 3, *canvas])
        options = {
            "INFERENCE_PRECISION_HINT": self._hint,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # workers have cores of their own already
            **openvino_graph.NO_SNIPPETS,
        }
        request = self._core.compile_model(self._model, "CPU", options).create_infer_request()
        self._requests[canvas] = request
        return request


def compiled_for(
    model: Segmenter,
    runtime: str,
    *,
    precision: str,
    device: torch.device,
    graph: Callable[[Compilable], Graph],
    note: Callable[[str], None],
) -> Compiled | None:
    """The static part of `model`, not fused yet, compiled with OpenVINO; None to stay with torch.

    `graph` gives the model's graph. With "auto", None if OpenVINO is not installed or cannot be
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
        return Compiled(graph(model), precision)
    except Inconvertible as error:
        if wanted:
            raise UsageError(
                f"OpenVINO cannot compute {_name(model)}: {error}; use `runtime` torch"
            ) from error
        note(f"torch computes everything, because OpenVINO cannot compute {_name(model)}: {error}")
        return None


def use(
    model: Segmenter,
    compiled: Compiled | None,
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
            ("openvino", compiled.digest, precision),
            ("segcli", "torch", "openvino"),
            lambda: openvino_gain(model, compiled, precision, device),
        )
        if gain < _PAYS:
            return "torch"
    model.compiled = compiled
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
