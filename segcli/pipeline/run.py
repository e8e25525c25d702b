"""A prediction run: list the source, skip images with rows, process and commit chunks."""

from __future__ import annotations

import time
from contextlib import closing

from segcli.cloud.urls import shown
from segcli.errors import UsageError
from segcli.models.device import INT8, is_int8
from segcli.pipeline.chunk_size import MOST, ChunkSize
from segcli.pipeline.completion import Completion
from segcli.pipeline.dispatcher import Dispatcher, Executor
from segcli.pipeline.events import Note, Report, Summary
from segcli.pipeline.executors.in_process import InProcess
from segcli.pipeline.executors.processes import ProcessPool
from segcli.pipeline.job import Job, Load
from segcli.pipeline.missing import check_prunable, find_missing
from segcli.pipeline.options import PredictOptions
from segcli.pipeline.partition_check import check_partitions
from segcli.pipeline.placement import ALL, parse_devices
from segcli.pipeline.progress import RunProgress
from segcli.pipeline.settings import Described, describe, run_settings
from segcli.pipeline.signals import stop_after, stop_on_signals
from segcli.pipeline.stages.predictor import load_predictor
from segcli.pipeline.task_list import TaskList
from segcli.pipeline.zone_check import check_cameras
from segcli.sources import Source, Wanted, parse_age
from segcli.sources.containers import Containers
from segcli.sources.name_times import NameTimes
from segcli.sources.several import open_sources
from segcli.store import (
    OtherSettings,
    Output,
    OutputLock,
    ShardSpec,
    lock_output,
    open_output,
    peek,
    peek_carried,
    preview_output,
)
from segcli.video.every import parse_every


def predict(options: PredictOptions, *, report: Report, load: Load = load_predictor) -> Summary:
    """Run a prediction with `options`; `report` is called with the events of the run.

    `load` makes the predictor of each worker, see `Job`.

    torch is loaded only if there is an image to process. Raises SegcliError: UsageError before
    anything is written, NothingDone if every image failed, Interrupted after Ctrl-C or SIGTERM,
    with finished work committed.
    """
    began = time.monotonic()
    source = _open_source(options)
    check_prunable(options, source)
    for note in source.notes:
        report(Note(note))
    described = describe(options)
    checked = check_cameras(options, described.zones, source) + check_partitions(options, source)
    for note in checked:
        report(Note(note))
    if options.dry_run:
        return _preview(options, described, source, report=report)
    # The lock comes first: a run that waits, or is refused, should not load a model before.
    with lock_output(
        options.out,
        shard=options.shard,
        wait=options.wait,
        waiting=lambda message: report(Note(message)),
    ) as lock:
        while True:
            precision, runtime, is_new = _numbers(options)
            job = Job.of(options, described, precision=precision, runtime=runtime, load=load)
            try:
                return _predict(options, job, source, lock, began, is_new=is_new, report=report)
            except OtherSettings:
                if "auto" not in (precision, runtime) and precision != INT8:
                    raise
                # It may be the precision or runtime, which another shard's machine chose otherwise.
                report(Note("another shard was the first to commit: using its precision"))


def _numbers(options: PredictOptions) -> tuple[str, str, bool]:
    """Precision and runtime, "auto" where they are still to be chosen, and whether OUT is new."""
    precision, runtime = options.precision, options.runtime
    if (there := peek(options.out)) is None:
        return precision, runtime, True
    found = str(there.compared.get("precision"))
    if precision == "auto" or (precision == INT8 and is_int8(found)):
        precision = found
    if runtime == "auto":
        runtime = str(there.compared.get("runtime", "torch"))
    return precision, runtime, False


def _predict(
    options: PredictOptions,
    job: Job,
    source: Source,
    lock: OutputLock,
    began: float,
    *,
    is_new: bool,
    report: Report,
) -> Summary:
    """One attempt; `is_new`: there is no output yet; `began`: when the run did, time.monotonic.

    Raises OtherSettings when another shard has made one meanwhile, and commits nothing then.
    """
    described, chosen = job.described, (job.precision, job.runtime)
    with closing(_executor(job, options)) as executor:
        dispatcher = Dispatcher(executor, options, report)
        # A new output needs the model in any case: load it before anything is written.
        if is_new:
            ready = dispatcher.load()
            chosen = ready.precision, ready.runtime
        settings = run_settings(options, described, source, *chosen, device=executor.device)
        with (
            open_output(
                options.out,
                settings,
                carried=source.carried,
                categories=(described.info.categories, described.info.category_ids),
                same_source=options.same_source,
                keys=(sample.key for sample in source),
                lock=lock,
            ) as output,
            stop_on_signals() as stop,
            stop_after(stop, _time_left(options, began)),
        ):
            tasks = _tasks(options, described, source, output)
            progress = RunProgress(options, described, tasks, report, stop)
            try:
                dispatcher.run(progress)
            except OtherSettings:
                if not stop.requested:
                    raise
            output.record_move()
            if tasks.completion is not None:
                tasks.completion.record()
            if not progress.is_in_vain:
                progress.missing = find_missing(options, source, output)
            return progress.end()


def _time_left(options: PredictOptions, began: float) -> float | None:
    """Listing and loading count as well, so that the next run of a schedule finds the lock free."""
    return None if options.max_time is None else began + options.max_time - time.monotonic()


def _executor(job: Job, options: PredictOptions) -> Executor:
    if options.engine == "ray":
        from segcli.pipeline.executors.ray_executor import RayExecutor

        return RayExecutor(job, options)
    devices = parse_devices(options.device)
    if options.replicas:
        return ProcessPool(job, options)
    if len(devices) > 1 or devices == (ALL,):
        raise UsageError(
            f"`device` {options.device} needs worker processes, and `replicas=0` starts none: "
            f"use `replicas=1` or more"
        )
    return InProcess(job, options)


def _open_source(options: PredictOptions) -> Source:
    """The images of the run; for a shard only its own."""
    source = open_sources(
        options.sources,
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
        all_folders=options.all_folders,
        containers=_containers(options),
    )
    if options.shard is None:
        return source
    return source.only(ShardSpec.parse(options.shard).__contains__)


def _containers(options: PredictOptions) -> Containers:
    names = None if options.time_pattern is None else NameTimes(options.time_pattern)
    return Containers(columns=peek_carried(options.out), names=names)


def _tasks(
    options: PredictOptions, described: Described, source: Source, output: Output
) -> TaskList:
    return TaskList(
        source,
        output,
        options.retry_failed,
        options.limit,
        options.count_ahead and not options.dry_run,
        Completion.of(options, output, source.containers),
        static=described.static,
        partitions=options.partitions,
    )


def _preview(
    options: PredictOptions, described: Described, source: Source, *, report: Report
) -> Summary:
    precision, runtime, _ = _numbers(options)
    settings = run_settings(options, described, source, precision, runtime, device=options.device)
    info = described.info
    with preview_output(
        options.out,
        settings,
        carried=source.carried,
        categories=(info.categories, info.category_ids),
        same_source=options.same_source,
        keys=(sample.key for sample in source),
    ) as output:
        tasks = _tasks(options, described, source, output)
        planned = 0
        for task in tasks.tasks(ChunkSize(MOST)):
            planned += len(task.samples)
            tasks.drop(task)
    missing = find_missing(options, source, output)
    summary = Summary(
        out=shown(options.out),
        earlier=tasks.has_rows,
        earlier_failed=tasks.has_failed,
        redone=tasks.redone,
        repeated=tasks.repeated,
        planned=planned,
        missing=missing.left,
    )
    report(summary)
    return summary
