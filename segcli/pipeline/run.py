"""A prediction run: list, skip what has rows, do the rest chunk by chunk, commit each as a part."""

from __future__ import annotations

from contextlib import closing
from typing import Protocol

from segcli.errors import UsageError
from segcli.pipeline.chunk import MOST, ChunkSize
from segcli.pipeline.events import Note, Report, Summary
from segcli.pipeline.executors.in_process import InProcess
from segcli.pipeline.executors.processes import ProcessPool
from segcli.pipeline.job import PREDICTING, Job
from segcli.pipeline.options import PredictOptions
from segcli.pipeline.placement import ALL, parse_devices
from segcli.pipeline.progress import RunProgress
from segcli.pipeline.settings import Described, describe, run_facts
from segcli.pipeline.signals import stop_on_signals
from segcli.pipeline.task_list import TaskList
from segcli.sources import Source, Wanted, open_source, parse_age
from segcli.store import OtherSettings, ShardSpec, open_output, peek, preview_output
from segcli.video.every import parse_every


def predict(options: PredictOptions, *, report: Report, opener: str = PREDICTING) -> Summary:
    """Do what `options` ask for; `report` hears of the progress and of the summary at the end.

    `opener` is what worker processes open their job with (see job.Opener).

    torch is loaded only when there is an image to do. Raises SegcliError: UsageError before
    anything is written, NothingDone when every image failed, Interrupted after Ctrl-C or SIGTERM
    with everything finished committed.
    """
    source = _open_source(options)
    for note in source.notes:
        report(Note(note))
    described = describe(options)
    while True:
        there = peek(options.out)
        precision = options.precision
        if there is not None and precision == "auto":
            precision = str(there.compared.get("precision"))
        if options.dry_run:
            return _preview(options, described, source, precision=precision, report=report)
        job = Job(options, described, options.device, precision)
        try:
            return _predict(job, source, is_new=there is None, report=report, opener=opener)
        except OtherSettings:
            if precision != "auto":
                raise
            # It may be the precision alone, which another machine has measured otherwise.
            report(Note("another run was the first to commit: beginning anew with its precision"))


def _predict(job: Job, source: Source, *, is_new: bool, report: Report, opener: str) -> Summary:
    """One attempt; `is_new`: there is no output yet.

    Raises OtherSettings when another run has made one meanwhile, and commits nothing then.
    """
    options, described, precision = job.options, job.described, job.precision
    with closing(_staff(job, report, opener)) as staff:
        # A new output needs the model in any case: load it before anything is written.
        if is_new:
            precision = staff.prepare()
        facts = run_facts(options, described, source, precision=precision, device=staff.device)
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
            work = TaskList(source, output, options.retry_failed, options.limit)
            account = RunProgress(options, described, work, report, stop)
            try:
                with closing(account):
                    staff.work(account, precision=precision)
            except OtherSettings:
                if not stop.requested:
                    raise
            return account.end()


class Executor(Protocol):
    """Whoever does the tasks of a run: this process, processes here, or machines elsewhere."""

    @property
    def device(self) -> str:
        """What the run computes on, as far as it is known; recorded in the parts."""
        ...

    def prepare(self) -> str:
        """Load a model now; returns the precision. Raises UsageError."""
        ...

    def work(self, account: RunProgress, *, precision: str) -> None:
        """Do the account's tasks, until it is asked to stop.

        Loads the model only when there is a task. Raises SegcliError.
        """
        ...

    def close(self) -> None: ...


def _staff(job: Job, report: Report, opener: str) -> Executor:
    if job.options.engine == "ray":
        from segcli.pipeline.executors.ray_executor import RayExecutor

        return RayExecutor(job, report)
    devices = parse_devices(job.options.device)
    if not job.options.replicas:
        if len(devices) > 1 or devices == (ALL,):
            raise UsageError(
                f"--device {job.options.device} needs processes, and --replicas 0 starts none: "
                f"give --replicas 1 or more"
            )
        return InProcess(job, report)
    return ProcessPool(job, report, opener=opener)


def _open_source(options: PredictOptions) -> Source:
    """What the run is about: of a shard only the images that are its own."""
    source = open_source(
        options.source,
        column=options.column,
        key_prefix=options.key_prefix,
        every=parse_every(options.every),
        stream=options.stream,
        wanted=Wanted(
            options.include,
            options.exclude,
            None if options.newer_than is None else parse_age(options.newer_than),
            None if options.older_than is None else parse_age(options.older_than),
        ),
    )
    if options.shard is None:
        return source
    return source.only(ShardSpec.parse(options.shard).__contains__)


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
        work = TaskList(source, output, options.retry_failed, options.limit)
        planned = 0
        for task in work.tasks(ChunkSize(MOST)):
            planned += len(task.samples)
            work.drop(task)
    summary = Summary(
        out=str(options.out),
        earlier=work.earlier,
        earlier_failed=work.earlier_failed,
        repeated=work.repeated,
        planned=planned,
    )
    report(summary)
    return summary
