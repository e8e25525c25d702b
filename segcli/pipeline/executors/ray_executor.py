"""A run on a Ray cluster: nodes compute, and this process alone puts parts into the output.

A worker hands its records over and only the first that arrive of a chunk are committed, so it
does not matter how often a chunk was tried, or who still works on it somewhere.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from segcli.errors import SegcliError, UsageError, WorkersLost
from segcli.pipeline.chunk import ChunkSize
from segcli.pipeline.events import Note, Report
from segcli.pipeline.executors.ray_resources import RayResources, check_device, find_slots
from segcli.pipeline.executors.ray_worker import RayWorker, hire
from segcli.pipeline.job import Chunk, Job, commit
from segcli.pipeline.progress import Counts, RunProgress
from segcli.pipeline.retries import Retries
from segcli.pipeline.task_list import Pending

GIVE_UP_AFTER = 3  # starts in a row that came to nothing
HUNG_S = 600.0  # without a finished batch, unless --chunk-timeout says otherwise
PATIENCE_S = 30.0  # without any worker, before that is told
_TICK_S = 0.5
_LOOK_S = 5.0  # nodes come and go


class RayExecutor:
    """The staff of a run on the cluster that RAY_ADDRESS, or this machine, leads to."""

    def __init__(self, job: Job, report: Report) -> None:
        check_device(job.options.device)
        self.job = job
        self.hands: list[RayWorker] = []
        self._report = report
        self._ray: Any = None
        self._slots = RayResources(1, 1, 0)
        self._looked = float("-inf")
        self._waiting_since: float | None = time.monotonic()
        self._hired = self._failed_starts = 0
        self._begun: tuple[str, str] | None = None
        self._deaths: Retries | None = None
        self._size = ChunkSize(job.options.chunk_size)

    @property
    def device(self) -> str:
        device = (
            self.job.options.device if self._begun is None else self._begun[0].partition(":")[0]
        )
        return f"{device} (Ray)"

    def prepare(self) -> str:
        """Have the first worker load its model; returns its precision."""
        self._hire_missing(most=1)
        while self._begun is None:
            self._tick(None)
            self._hire_missing(most=1)
        return self._begun[1]

    def work(self, account: RunProgress, *, precision: str) -> None:
        """All tasks, until a stop is requested. Raises SegcliError."""
        self.job = replace(self.job, precision=precision)
        todo = Pending(account.work.tasks(self._size))
        self._deaths = Retries(account, todo)
        halted = False
        while self._is_busy() or not (account.stop.requested or todo.is_empty):
            if account.stop.requested and not halted:
                halted = True
                self._halt(account)
            if not account.stop.requested:
                self._hire_missing()
                self._hand_out(account, todo)
            self._tick(account)

    def close(self) -> None:
        for hand in self.hands:
            self._ray.kill(hand.actor)
        self.hands = []
        if self._ray is not None:
            self._ray.shutdown()

    def _is_busy(self) -> bool:
        return any(hand.task is not None for hand in self.hands)

    def _hire_missing(self, most: int | None = None) -> None:
        """As many workers as the cluster has room for now."""
        if self._ray is None:
            self._ray = connect()
        if time.monotonic() - self._looked > _LOOK_S:
            self._looked = time.monotonic()
            options = self.job.options
            self._slots = find_slots(
                self._ray.nodes(),
                options.device,
                replicas=max(1, options.replicas),
                cpus=options.workers,
            )
        slots = self._slots
        while len(self.hands) < min(slots.count, most or slots.count):
            actor = hire(self._ray, slots)
            job = replace(self.job, device=slots.device)
            call = actor.begin.remote(job, slots.threads)
            self.hands.append(RayWorker(self._hired, actor, call, time.monotonic()))
            self._hired += 1

    def _hand_out(self, account: RunProgress, todo: Pending) -> None:
        if self._begun is None:
            return
        if account.count is None:
            account.start(self.device, self._begun[1])
        for hand in self.hands:
            if not hand.is_ready or hand.task is not None:
                continue
            self._size.share_out(account.left, len(self.hands))
            task = todo.take({h.task.part for h in self.hands if h.task and h.task.part})
            if task is None:
                return
            hand.task, hand.counts = task, Counts()
            hand.since = hand.given = time.monotonic()
            chunk = Chunk(task.samples, task.part, proven=account.good > 0)
            hand.call = hand.actor.do.remote(chunk)

    def _halt(self, account: RunProgress) -> None:
        """Those at work finish their batch."""
        for hand in self.hands:
            if hand.task is not None:
                hand.actor.halt.remote(account.stop.signum)

    def _tick(self, account: RunProgress | None) -> None:
        """Wait a little for what the workers say, and see who hangs."""
        self._tell_patience()
        awaited = {hand.call: hand for hand in self.hands if hand.call is not None}
        ready: Sequence[Any] = []
        if awaited:
            ready, _ = self._ray.wait(list(awaited), num_returns=1, timeout=_TICK_S)
        else:
            time.sleep(_TICK_S)
        for call in ready:
            self._hear(awaited[call], account)
        for hand in list(self.hands):
            if hand.task is not None and account is not None:
                self._listen(hand, account)

    def _tell_patience(self) -> None:
        """Say once what the run waits for: a cluster without room is no error, it may grow."""
        since = self._waiting_since
        if self._begun is None and since is not None and time.monotonic() - since > PATIENCE_S:
            self._waiting_since = None
            each = f"{self._slots.cpus:g} CPU, {self._slots.gpus:g} GPU"
            self._report(Note(f"no worker has begun yet: Ray looks for room for one ({each})"))

    def _hear(self, hand: RayWorker, account: RunProgress | None) -> None:
        """A call of the worker has come to its end, good or bad."""
        try:
            answer = self._ray.get(hand.call)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SegcliError):
                raise error.cause from None
            self._lose(hand, f"{type(error.cause).__name__}: {error.cause}")
        except self._ray.exceptions.RayError as error:
            self._lose(hand, _first_line(error))
        else:
            hand.call = None
            if not hand.is_ready:
                hand.is_ready, self._failed_starts = True, 0
                self._begun = self._begun or answer
            elif account is not None and hand.task is not None:
                self._settle(hand, account, answer)

    def _settle(self, hand: RayWorker, account: RunProgress, records: Any) -> None:
        """The one place where rows come into the output."""
        assert hand.task is not None
        output, task = account.work.output, hand.task
        self._size.measure(len(task.samples), time.monotonic() - hand.given)
        chunk = Chunk(task.samples, task.part, create=not output.inventory.parts)
        hand.task = None
        account.settle(task, commit(records, chunk, output.writer), hand.number)
        account.progress()

    def _listen(self, hand: RayWorker, account: RunProgress) -> None:
        """Ask how far it is, without waiting for the answer, and let one go that hangs."""
        if hand.beat is None:
            hand.beat = hand.actor.told.remote()
        elif self._ray.wait([hand.beat], timeout=0)[0]:
            try:
                counts, notes = self._ray.get(hand.beat)
            except self._ray.exceptions.RayError:
                return  # its death is told by the other call
            hand.beat = None
            for note in notes:
                self._report(Note(note))
            if counts.images > hand.counts.images:
                hand.since, hand.counts = time.monotonic(), counts
                account.tally.in_hand[hand.number] = counts
                account.progress()
        limit = self.job.options.chunk_timeout or HUNG_S
        if time.monotonic() - hand.since > limit:
            self._lose(hand, f"it hung: no batch was finished for {limit:.0f} s")

    def _lose(self, hand: RayWorker, reason: str) -> None:
        """The worker is gone, or as good as that; another does its chunk."""
        self._ray.kill(hand.actor)
        self.hands.remove(hand)
        self._looked = float("-inf")
        if hand.task is not None and self._deaths is not None:
            self._deaths.over(hand.task, hand.number, reason)
        elif not hand.is_ready:
            self._report(Note(f"a worker could not be started ({reason})"))
            self._failed_starts += 1
            if self._failed_starts >= GIVE_UP_AFTER and not any(h.is_ready for h in self.hands):
                raise WorkersLost(
                    f"no worker can be started on the Ray cluster: {reason}; what is committed is "
                    f"whole: mend the cause (segcli must be installed on every node), then run the "
                    f"same command again"
                )


def connect() -> Any:
    """Join the cluster at RAY_ADDRESS, the one that was started on this machine, or a new one."""
    try:
        import ray
    except ImportError:
        raise UsageError(
            "--engine ray needs Ray, which is not installed: pip install 'segcli[ray]', here and "
            "on every node"
        ) from None
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(
            log_to_driver=os.environ.get("SEGCLI_DEBUG", "0") not in ("", "0"),
            logging_level=logging.ERROR,
            configure_logging=False,
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise UsageError(
            f"--engine ray: there is no cluster to join ({_first_line(error)}); start one with "
            f"`ray start --head`, or set RAY_ADDRESS to that of another machine"
        ) from None
    finally:
        for number, handler in before.items():  # SIGTERM is ours: it commits what is done
            signal.signal(number, handler)
    return ray


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
