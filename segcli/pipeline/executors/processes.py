"""The coordinator: hands chunks to worker processes; it never sees an image nor a mask."""

from __future__ import annotations

import selectors
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace

from segcli.errors import NothingDone, SegcliError, WorkersLost
from segcli.pipeline.chunk import ChunkSize
from segcli.pipeline.events import Note, Report
from segcli.pipeline.executors.messages import Begin, Begun, Did, Equip, Failed, Headway, Noted
from segcli.pipeline.executors.worker_process import WorkerProcess
from segcli.pipeline.hang_detector import HangDetector
from segcli.pipeline.job import PREDICTING, Chunk, Job
from segcli.pipeline.placement import ALL, Placement, kinds, parse_devices, plan
from segcli.pipeline.progress import RunProgress
from segcli.pipeline.retries import Retries
from segcli.pipeline.task_list import Pending, Task

GIVE_UP_AFTER = 3  # starts of a worker in a row that came to nothing
DISMISS_S = 10.0
MOST_BYTES = 256 << 20  # of encoded images from a manifest, in all chunks that are in hand
LEAST_BYTES = 8 << 20  # and in one of them
_TICK_S = 0.2
_DYING_TICK_S = 0.02


class ProcessPool:
    """The staff of a run in processes: one for each device and replica.

    `opener` is what a worker process opens its job with (job.Opener as "module:function").
    """

    def __init__(self, job: Job, report: Report, *, opener: str = PREDICTING) -> None:
        self.job = job
        self.seats: list[WorkerProcess] = []
        self._report = report
        self._opener = opener
        self._devices = parse_devices(job.options.device)
        self._replicas = max(1, job.options.replicas)
        self._begun: Begun | None = None
        self._account: RunProgress | None = None
        self._size = ChunkSize(job.options.chunk_size)
        self._watch = HangDetector(job.options.chunk_timeout)
        self._selector = selectors.DefaultSelector()
        if job.precision == "auto" and len(kinds(self._devices)) > 1:
            # What one kind of device computes in, another may not have.
            self.job = replace(job, precision="float32")
        self._set_seats()

    @property
    def device(self) -> str:
        names = self._devices
        if self._begun is not None and len(names) == 1:
            names = (self._begun.device,)
        text = ", ".join(names)
        return text if self._replicas == 1 else f"{text} ({self._replicas} workers each)"

    def prepare(self) -> str:
        """Start the first worker and wait until its model is loaded; returns its precision."""
        while self._begun is None:
            self._start_missing(self.seats[:1])
            self._tick()
        return self._begun.precision

    def work(self, account: RunProgress, *, precision: str) -> None:
        """All tasks, until a stop is requested; every worker has ended afterwards.

        Raises UsageError when a worker's device or memory is not there, OutputError, NothingDone
        when the model or the processes fail on everything, WorkersLost when none can be started.
        """
        self.job = replace(self.job, precision=precision)
        self._account = account
        # Each worker has one in hand, and this process holds them all until they are committed.
        most = min(account.work.most_bytes, MOST_BYTES // len(self.seats))
        account.work.most_bytes = max(LEAST_BYTES, most)
        todo = Pending(account.work.tasks(self._size))
        deaths = Retries(account, todo)
        halted = False
        try:
            while self._is_busy() or not (account.stop.requested or todo.is_empty):
                if account.stop.requested and not halted:
                    halted = True
                    self._halt(account)
                if not account.stop.requested:
                    self._start_missing(self.seats)
                    self._hand_out(account, todo)
                    todo.list_ahead()
                self._tick(deaths)
        finally:
            if self._dismiss():
                # What a killed worker staged; nobody is left who could be writing there.
                shutil.rmtree(account.work.output.writer.staging, ignore_errors=True)

    def close(self) -> None:
        self._dismiss()
        self._selector.close()

    def _set_seats(self) -> None:
        """One seat for each worker; for "all" one, until its worker tells what there is."""
        devices: tuple[str, ...] = self._devices
        if devices == (ALL,):
            if self._begun is None:
                self.seats = [
                    WorkerProcess(
                        0, Placement("auto", plan(["auto"], 1, decode_threads=None)[0].share)
                    )
                ]
                return
            devices = self._devices = self._begun.devices
        places = plan(devices, self._replicas, decode_threads=self.job.options.workers)
        for number, place in enumerate(places):
            if number < len(self.seats):
                self.seats[number].place = place
            else:
                self.seats.append(WorkerProcess(number, place))

    def _start(self, seat: WorkerProcess) -> None:
        job = replace(self.job, device=seat.place.device)
        seat.start(Begin(self._opener, job, seat.place.share))
        assert seat.link is not None, "it has just been started"
        self._selector.register(seat.link, selectors.EVENT_READ, seat)
        seat.is_heard = True

    def _start_missing(self, seats: Sequence[WorkerProcess]) -> None:
        for seat in seats:
            if seat.is_empty and seat.failed_starts < GIVE_UP_AFTER:
                self._start(seat)
        if all(seat.is_empty for seat in seats):
            raise WorkersLost(
                f"no worker process can be started: {seats[0].ending}; what is committed is whole: "
                f"mend the cause, then run the same command again"
            )

    def _hand_out(self, account: RunProgress, todo: Pending) -> None:
        """A chunk for everybody who has none."""
        if self._begun is None:
            return
        if account.count is None:
            account.start(self.device, self._begun.precision)
        for seat in self.seats:
            if not seat.is_ready or seat.task is not None or seat.is_dying:
                continue
            self._size.share_out(account.left, len(self.seats))
            task = todo.take({s.task.part for s in self.seats if s.task and s.task.part})
            if task is None:
                return
            self._give(seat, task, account)

    def _give(self, seat: WorkerProcess, task: Task, account: RunProgress) -> None:
        output = account.work.output
        if not seat.is_equipped:
            memory = self.job.options.max_memory
            equip = Equip(output.writer, seat.place.share, len(self.seats), memory)
            seat.equip(equip, output.lock_fds)
        create = not output.inventory.parts
        seat.give(task, Chunk(task.samples, task.part, create=create, proven=account.good > 0))

    def _halt(self, account: RunProgress) -> None:
        """Those at work finish their batch; the others have nothing to finish."""
        assert account.stop.signum is not None
        for seat in self.seats:
            if seat.task is not None:
                seat.halt(account.stop.signum)
            else:
                seat.kill()

    def _tick(self, deaths: Retries | None = None) -> None:
        """Wait a little for what the workers say, and see who hangs and who has died."""
        dying = any(seat.is_dying for seat in self.seats)
        for seat in self.seats:
            if seat.is_heard and seat.link is not None:
                writing = selectors.EVENT_WRITE if seat.link.is_waiting else 0
                if self._selector.get_key(seat.link).events != selectors.EVENT_READ | writing:
                    self._selector.modify(seat.link, selectors.EVENT_READ | writing, seat)
        for key, ready in self._selector.select(_DYING_TICK_S if dying else _TICK_S):
            seat = key.data
            if ready & selectors.EVENT_WRITE:
                seat.link.flush()
            if ready & selectors.EVENT_READ:
                self._hear(seat)
        self._watch.look(self.seats)
        for seat in self.seats:
            if seat.is_dying:
                self._bury(seat, deaths)

    def _hear(self, seat: WorkerProcess) -> None:
        """Take in what has come; the end of a link is the end of its worker."""
        try:
            for message in seat.messages():
                self._answer(seat, message)
        except EOFError:
            self._unlisten(seat)
            seat.kill()  # whatever is left of it

    def _answer(self, seat: WorkerProcess, message: object) -> None:
        account = self._account
        match message:
            case Begun():
                seat.is_ready = seat.has_been_ready = True
                seat.failed_starts = 0
                if self._begun is None:
                    self._begun = message
                    self._set_seats()
            case Headway() if account is not None:
                self._watch.headway(seat)
                account.batch(message.counts, seat.number)
            case Did() if account is not None and seat.task is not None:
                self._watch.headway(seat)
                self._size.measure(len(seat.task.samples), time.monotonic() - seat.given)
                account.finish(message.outcome.counts, seat.number)
                account.settle(seat.task, message.outcome, seat.number)
                seat.task = None
            case Noted():
                self._report(Note(message.message))
            case Failed():
                self._fail(seat, message.error)

    def _fail(self, seat: WorkerProcess, error: Exception) -> None:
        """A worker's last words: the end of the run, or that of one worker."""
        seat.last_words = str(error)
        if isinstance(error, NothingDone) and self._account is not None and self._account.good:
            return  # others have done images meanwhile: so it was its images' fault after all
        if isinstance(error, WorkersLost):
            return  # another process may find the device well
        # A device that vanishes in the middle costs its own workers only.
        if isinstance(error, SegcliError) and (seat.is_ready or not seat.has_been_ready):
            raise error

    def _bury(self, seat: WorkerProcess, deaths: Retries | None) -> None:
        """Empty the seat when its process is gone, and see to what it had in hand."""
        was_ready, task = seat.is_ready, seat.task
        if not self._reap(seat):
            return
        seat.task = None
        if not was_ready:
            seat.failed_starts += 1
            if seat.failed_starts == GIVE_UP_AFTER:
                told = f"no worker can be started on {seat.place.device}, going on without it"
                self._report(Note(f"{told}: {seat.ending}"))
        if task is not None and deaths is not None:
            deaths.over(task, seat.number, seat.ending)

    def _reap(self, seat: WorkerProcess) -> bool:
        """True when the seat is empty; all that its worker said has been heard then."""
        if not seat.is_empty:
            if not seat.is_gone:
                return False
            if seat.is_heard:
                self._hear(seat)
            self._unlisten(seat)
            seat.clear()
        return True

    def _unlisten(self, seat: WorkerProcess) -> None:
        if seat.is_heard:
            assert seat.link is not None, "it is heard"
            self._selector.unregister(seat.link)
            seat.is_heard = False

    def _is_busy(self) -> bool:
        return any(seat.task is not None for seat in self.seats)

    def _dismiss(self) -> bool:
        """Kill every worker; False when one cannot die, because it hangs in the kernel."""
        for seat in self.seats:
            seat.task = None
            seat.kill()
            self._unlisten(seat)  # nothing that is said now changes the end
        deadline = time.monotonic() + DISMISS_S
        while not all([self._reap(seat) for seat in self.seats]):
            if time.monotonic() > deadline:
                return False
            time.sleep(_DYING_TICK_S / 4)
        return True
