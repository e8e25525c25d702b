"""A prediction run: list, skip what has rows, do the rest chunk by chunk, commit each as a part."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from segcli.errors import Interrupted, NothingDone
from segcli.run.chunk import ChunkSize, do_chunk
from segcli.run.events import Committed, Note, Report, Started, Summary
from segcli.run.facts import Described, describe, run_facts
from segcli.run.options import PredictOptions
from segcli.run.stop import Stop, stop_on_signals
from segcli.run.tally import Tally
from segcli.run.work import Count, Task, Work
from segcli.shard import open_output, peek, preview_output
from segcli.source import Source, open_source
from segcli.types import Record

if TYPE_CHECKING:
    from segcli.run.engine import Engine

MOST_WORKERS = 16  # decode threads beyond this only wait for one another


def predict(options: PredictOptions, *, report: Report) -> Summary:
    """Do what `options` ask for; `report` hears of the progress and of the summary at the end.

    torch is loaded only when there is an image to do. Raises SegcliError: UsageError before
    anything is written, NothingDone when every image failed, Interrupted after Ctrl-C or SIGTERM
    with everything finished committed.
    """
    source = open_source(options.source, column=options.column, key_prefix=options.key_prefix)
    for note in source.notes:
        report(Note(note))
    described = describe(options)
    there = peek(options.out)
    precision = options.precision
    if there is not None and precision == "auto":
        precision = str(there.compared.get("precision"))
    if options.dry_run:
        return _preview(options, described, source, precision=precision, report=report)
    # A new output needs the model in any case: load it before anything is written.
    engine = None
    if there is None:
        engine = _load(options, described, precision, report)
        precision = engine.precision
    device = options.device if engine is None else str(engine.device)
    facts = run_facts(options, described, source, precision=precision, device=device)
    with (
        open_output(
            options.out,
            facts,
            carried=source.carried,
            categories=(described.info.categories, described.info.category_ids),
            wait=options.wait,
            same_source=options.same_source,
        ) as output,
        stop_on_signals() as stop,
    ):
        work = Work(source, output, options.retry_failed, options.limit)
        run = Run(options, described, precision, work, report, stop, engine=engine)
        return run.go()


@dataclass(slots=True)
class Run:
    """One worker on one device, under the lock of its output."""

    options: PredictOptions
    described: Described
    precision: str
    work: Work
    report: Report
    stop: Stop
    engine: Engine | None = None
    tally: Tally = field(default_factory=Tally)
    count: Count | None = None

    def go(self) -> Summary:
        """All tasks, one after another."""
        size = ChunkSize(self.options.chunk_size)
        done_before = self.work.output.images
        try:
            for task in self.work.tasks(size):
                if self.stop.requested:
                    break
                if self.count is None:
                    self._start(done_before)
                started = time.monotonic()
                self._do(task)
                size.measure(len(task.samples), time.monotonic() - started)
                if self.stop.requested:
                    break
        finally:
            if self.count is not None:
                self.count.end()
        return self._end()

    def _start(self, done_before: int) -> None:
        """Load the model if need be, tell what is about to happen, count what there is."""
        if self.engine is None:
            self.engine = _load(self.options, self.described, self.precision, self.report)
        self.report(
            Started(
                source=self.options.source,
                out=str(self.options.out),
                model=self.described.model,
                weights=self.described.weights.name,
                device=str(self.engine.device),
                precision=self.engine.precision,
                done=done_before,
            )
        )
        self.tally = Tally()  # the seconds of the run are those of its images
        self.count = Count(self.work.source)
        if self.options.count_ahead:
            self.count.start()

    def _do(self, task: Task) -> None:
        from segcli.run.ahead import Ahead

        assert self.engine is not None, "the model is loaded before the first task"
        ahead = Ahead(
            self.described.info,
            threads=self.options.workers or default_workers(),
            max_pixels=self.options.max_pixels,
        )
        records = do_chunk(task.samples, self.engine, ahead, stop=self.stop, done=self._progress)
        if not records:
            return
        output = self.work.output
        for part in output.replace(records) if task.redo else [output.commit(records)]:
            self.report(Committed(str(part), len(records)))

    def _progress(self, records: Sequence[Record]) -> None:
        self.tally.add(records)
        total = self.count.total if self.count is not None else None
        if total is not None:
            total -= self.work.skipped
            if self.options.limit is not None:
                total = min(total, self.options.limit)
        self.report(self.tally.progress(total))

    def _end(self) -> Summary:
        tally = self.tally
        summary = Summary(
            out=str(self.options.out),
            images=tally.images,
            masks=tally.masks,
            failed=tally.failed,
            first_failures=tuple(tally.first_failures),
            earlier=self.work.earlier,
            earlier_failed=self.work.earlier_failed,
            repeated=self.work.repeated,
            seconds=tally.seconds if tally.images else 0.0,
            images_per_s=tally.images_per_s if tally.images else 0.0,
        )
        self.report(summary)
        if self.stop.requested:
            raise Interrupted(
                f"interrupted; the {tally.images} images done by this run are committed in "
                f"{self.options.out}: run the same command again to go on",
                terminated=self.stop.signum == signal.SIGTERM,
            )
        if tally.images and tally.failed == tally.images:
            key, reason = tally.first_failures[0]
            raise NothingDone(
                f"not one of {tally.images} images could be done, the first ({key}): {reason}"
            )
        return summary


def _load(options: PredictOptions, described: Described, precision: str, report: Report) -> Engine:
    from segcli.run.engine import load_engine

    return load_engine(options, described.labels, precision=precision, report=report)


def _preview(
    options: PredictOptions, described: Described, source: Source, *, precision: str, report: Report
) -> Summary:
    facts = run_facts(options, described, source, precision=precision, device=options.device)
    info = described.info
    with preview_output(
        options.out,
        facts,
        carried=source.carried,
        categories=(info.categories, info.category_ids),
        same_source=options.same_source,
    ) as output:
        work = Work(source, output, options.retry_failed, options.limit)
        planned = sum(len(task.samples) for task in work.tasks(ChunkSize(1024)))
    summary = Summary(
        out=str(options.out),
        earlier=work.earlier,
        earlier_failed=work.earlier_failed,
        repeated=work.repeated,
        planned=planned,
    )
    report(summary)
    return summary


def default_workers() -> int:
    """As many decode threads as there are cores for this process, 16 at most."""
    # Of this process (taskset, some containers); macOS tells only those of the machine.
    here = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    return min(MOST_WORKERS, len(here))
