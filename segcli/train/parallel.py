"""Data-parallel training: one process for each device, with the same weights in all of them.

A batch is cut into parts, each process adds up the gradients of its own parts, and the sums are
added over the processes, as one process would that learned from all parts one after another.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from segcli.errors import WorkersLost

_MOST_LOSSES = 32
_LONGEST_WAIT = timedelta(hours=12)  # of the others, while the first process validates
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group:
    """The processes that learn together; this one is number `rank` of `size`."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process validates, and writes the checkpoints and the log."""
        return self.rank == 0

    def share_of(self, parts: Sequence[T]) -> list[tuple[int, T]]:
        """The parts of a batch that this process learns from, with their numbers."""
        return list(enumerate(parts))[self.rank :: self.size]

    def share(self, model: nn.Module) -> None:
        """Give all processes the weights of the first one."""
        if self.size > 1:
            self._exchange(list(model.state_dict().values()), dist.broadcast, 0)

    @torch.no_grad()
    def add_up(self, model: nn.Module, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Add gradients and losses over all processes, and average the statistics of live norms.

        Returns the losses by name, or their sum in a process that had no part of the batch.
        """
        if self.size == 1:
            return dict(losses)
        learned = [p for p in model.parameters() if p.requires_grad]
        used = torch.tensor([float(p.grad is not None) for p in learned], device=learned[0].device)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in learned]
        names = list(losses)
        values = used.new_zeros(_MOST_LOSSES)
        for i, name in enumerate(names):
            values[i] = losses[name]
        statistics = _statistics(model)
        for one in statistics:
            one /= self.size
        self._exchange([values, used, *gradients, *statistics], dist.all_reduce)
        for parameter, gradient, uses in zip(learned, gradients, used.tolist(), strict=True):
            parameter.grad = gradient if uses else None  # the optimizer passes over the unused ones
        named = dict(zip(names, values, strict=False))
        return named or {"losses": values.sum()}

    def agree(self, stop: bool) -> bool:
        """What the first process says."""
        if self.size > 1:
            answer = torch.tensor([float(stop)])
            if dist.get_backend() == "nccl":
                answer = answer.cuda()
            dist.broadcast(answer, 0)
            return bool(answer.item())
        return stop

    @staticmethod
    def _exchange(tensors: Sequence[Tensor], collective: Callable[..., Any], *extra: int) -> None:
        """Run a collective operation on all tensors of each type at once, in place."""
        for kind in sorted({t.dtype for t in tensors}, key=str):
            own = [t for t in tensors if t.dtype == kind]
            flat = torch.cat([t.reshape(-1) for t in own])
            place = flat.device
            flat = flat if dist.get_backend() == "nccl" else flat.cpu()
            collective(flat, *extra)
            pieces = torch.split(flat.to(place), [t.numel() for t in own])
            for tensor, piece in zip(own, pieces, strict=True):
                tensor.copy_(piece.view(tensor.shape))


ALONE = Group()


def _statistics(model: nn.Module) -> list[Tensor]:
    """The running means and variances of the norms that are learning them."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
    both = [(n.running_mean, n.running_var) for n in norms]
    return [value for pair in both for value in pair if value is not None]


@contextmanager
def joined(devices: Sequence[torch.device], rank: int, meeting: Path) -> Iterator[Group]:
    """Join the processes of all `devices` as number `rank`; `meeting` is a file for that alone."""
    distinct = len(set(devices)) == len(devices) and devices[0].type == "cuda"
    if devices[rank].type == "cuda":
        torch.cuda.set_device(devices[rank])
    dist.init_process_group(
        "nccl" if distinct else "gloo",
        init_method=meeting.as_uri(),
        rank=rank,
        world_size=len(devices),
        timeout=_LONGEST_WAIT,
    )
    try:
        yield Group(rank, len(devices))
    finally:
        dist.destroy_process_group()


@contextmanager
def others(target: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> Iterator[None]:
    """Run `target` in a further process for each tuple of arguments until the end of the block.

    If one of them ends early, this process ends, too: it would wait for the other one for hours.
    """
    context = get_context("spawn")
    started = [context.Process(target=_other, args=(target, args)) for args in arguments]
    for process in started:
        process.start()
    over = threading.Event()

    def watch() -> None:
        running: dict[Any, Any] = {process.sentinel: process for process in started}
        while running:
            for sentinel in wait(list(running)):
                process = running.pop(sentinel)
                process.join()
                if process.exitcode and not over.is_set():
                    _end(started)
                    _leave(process.exitcode)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
        over.set()
        for process in started:
            process.join(60)
    finally:
        over.set()
        _end(started)


def _leave(code: int) -> None:
    """End this process, whose main thread waits for one that has ended with `code`."""
    lost = f"a process of the training has ended (exit code {code}); continue with --resume"
    print(f"error: {lost}", file=sys.stderr, flush=True)
    os._exit(code if code > 0 else WorkersLost.exit_code)


def _end(processes: Sequence[Any]) -> None:
    for process in processes:
        process.terminate()


def _other(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    parent = parent_process()
    assert parent is not None, "it was started by one"

    def follow() -> None:
        parent.join()
        os._exit(0)

    threading.Thread(target=follow, daemon=True).start()
    target(*arguments)
