"""A process that runs checks one after another and sends their figures while they run.

It is ended when a check exceeds its time or leaves the device unusable, and another takes over.
"""

from __future__ import annotations

import importlib
import time
import traceback
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

FATAL = ("CUDA error", "CUBLAS_STATUS", "CUDNN_STATUS")


class Session:
    """The process, seen from outside; it is started with its first check."""

    def __init__(self, device: str, room: Path, data: Path | None, *, small: bool) -> None:
        self._arguments = (device, room, data, small)
        self._process: Any = None
        self._channel: Connection | None = None

    def run(self, name: str, limit_s: float, hear: Any) -> str | None:
        """Run a check and pass each (figure, value) to `hear`; returns why it failed, or None."""
        if self._process is None:
            context = get_context("spawn")
            self._channel, other = context.Pipe()
            self._process = context.Process(target=_serve, args=(other, *self._arguments))
            self._process.start()
            other.close()
        assert self._channel is not None
        deadline = time.monotonic() + limit_s
        try:
            self._channel.send(name)
            while self._channel.poll(max(0.0, deadline - time.monotonic())):
                kind, *content = self._channel.recv()
                if kind == "figure":
                    hear(*content)
                else:
                    (error,) = content
                    if error and any(word in error for word in FATAL):
                        self.close()
                    return error
            error = f"stopped after {limit_s:.0f} s"
        except (EOFError, OSError) as broken:
            self._process.join(5)
            error = f"the process ended with {self._process.exitcode} ({broken!r})"
        self.close()
        return error

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def _serve(channel: Connection, device: str, room: Path, data: Path | None, small: bool) -> None:
    """Run the checks that are asked for; the path of the checkout is inherited."""
    from segcli.startup import import_torchvision

    import_torchvision()
    import torch

    from scripts.benchmarks.runner import SEED
    from scripts.gpu_check.place import Place

    place = Place(device, room, data, small)
    while True:
        name = channel.recv()
        own = replace(place, room=room / name)
        own.room.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(SEED)
        try:
            module = importlib.import_module(f"scripts.gpu_check.{name}")
            for figure in module.check(own):
                channel.send(("figure", *figure))
            channel.send(("end", None))
        except (Exception, SystemExit):
            channel.send(("end", traceback.format_exc()))
