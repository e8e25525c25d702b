"""Graphs that OpenVINO computes on a processor, compiled for each shape of their input."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from segcli.models import openvino_graph
from segcli.models.device import sharing, torch_precision
from segcli.models.openvino_graph import Graph

if TYPE_CHECKING:
    from torch import Tensor

HINTS = {"float32": "f32", "bfloat16": "bf16"}
"""OpenVINO's names of the precisions."""
_MOST_SHAPES, _MOST_BYTES = 32, 2 << 30  # compiled at a time: constants are copied for each
_ALONE = threading.Lock()
"""Held while something is compiled, and during the first call in this process: two threads in which
OpenVINO's bindings (2026.4) set themselves up at the same time wait for each other for ever."""
_Key = tuple[tuple[int, ...], int]
"""A shape, and how many threads compute at the same time."""


@dataclass(slots=True)
class _Compilation:
    """A model of OpenVINO, and the request of each thread, which has memory for all layers and goes
    with the thread."""

    model: Any
    requests: WeakKeyDictionary[threading.Thread, Any] = field(default_factory=WeakKeyDictionary)


class Requests:
    """A graph, compiled for each shape of its input when it first comes.

    Compiling takes a tenth of a second; what was used last is kept. Threads that compute at the
    same time share what is compiled and have requests of their own.
    """

    _has_run: ClassVar[bool] = False  # in this process

    def __init__(self, graph: Graph, precision: str) -> None:
        self._model = graph.model()
        self._hint = HINTS[torch_precision(precision)]
        self._core = openvino_graph.library().Core()
        self._kept: OrderedDict[_Key, _Compilation] = OrderedDict()
        size = max(1, len(graph.constants))
        self._most = max(2, min(_MOST_SHAPES, _MOST_BYTES // size))

    def __call__(self, x: Tensor) -> list[Tensor]:
        """The outputs, which the next call of this thread with this shape overwrites."""
        import torch

        def outputs() -> list[Tensor]:
            found = request.infer([x.numpy()], share_inputs=True, share_outputs=True).values()
            return [torch.from_numpy(y) for y in found]

        with _ALONE:
            request = self._request(tuple(x.shape))
            if not Requests._has_run:
                first = outputs()
                Requests._has_run = True
                return first
        return outputs()

    def forget(self) -> None:
        """Drop what is compiled; later calls compile again, for torch's threads of that time."""
        self._kept.clear()

    def shapes(self) -> list[tuple[int, ...]]:
        """Those for which it is compiled now."""
        return [shape for shape, _ in self._kept]

    def made(self) -> int:
        """How many requests there are, of all shapes and threads."""
        return sum(len(one.requests) for one in self._kept.values())

    def _request(self, shape: tuple[int, ...]) -> Any:
        """A request that no other thread uses."""
        key, thread = (shape, sharing()), threading.current_thread()
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            while len(self._kept) >= self._most:
                self._kept.popitem(last=False)
            self._kept[key] = _Compilation(self._compile(*key))
        found = self._kept[key]
        if thread not in found.requests:
            found.requests[thread] = found.model.create_infer_request()
        return found.requests[thread]

    def _compile(self, shape: tuple[int, ...], sharing: int) -> Any:
        import torch

        self._model.reshape([*shape])
        options = {
            "INFERENCE_PRECISION_HINT": self._hint,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": sharing,
            "INFERENCE_NUM_THREADS": sharing * torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # workers have cores of their own already
            **openvino_graph.NO_SNIPPETS,
        }
        return self._core.compile_model(self._model, "CPU", options)
