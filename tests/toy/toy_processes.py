"""Real `segcli` processes that start at once, forked from a server that has torch loaded."""

import functools
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

TOY = Path(__file__).resolve().parent
PATIENCE_S = 180.0  # for what takes a second; nothing waits that long unless it is broken


def start(
    *words: str | Path,
    log: Path,
    file_limit: int | None = None,
    load: Callable[..., Any] | None = None,
    before: Callable[[], None] | None = None,
) -> BaseProcess:
    """`segcli WORDS` with stdout and stderr in `log`; `file_limit` bytes per file it writes.

    `predict` works in that one process unless told otherwise, for it has torch already; `load`
    makes the predictor of its workers. `before`, a function of a module, befalls the process
    (toy_faults).
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["pandas", "torchvision", "segcli.pipeline.stages.inference", "segcli.pipeline.run"]
    )
    command = [str(word) for word in words]
    if command[0] == "predict" and "--replicas" not in command:
        command += ["--replicas", "0"]
    process = context.Process(target=_segcli, args=(command, str(log), file_limit, load, before))
    process.start()
    return process


def finish(process: BaseProcess, seconds: float = PATIENCE_S) -> int | None:
    """Its exit code; negative for a signal."""
    process.join(seconds)
    assert process.exitcode is not None, "still running"
    return process.exitcode


def wait_for(log: Path, event: str, seconds: float = PATIENCE_S) -> None:
    """Until a process with --log-format json has told of `event`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if log.exists() and any(line["event"] == event for line in events(log)):
            return
        time.sleep(0.005)
    raise AssertionError(f"no {event!r} in {log.read_text() if log.exists() else 'no log'}")


def events(log: Path) -> list[dict]:
    """The whole JSON lines of a log."""
    lines = [line for line in log.read_text().split("\n")[:-1] if line.startswith("{")]
    return [json.loads(line) for line in lines]


def _segcli(
    command: list[str],
    log: str,
    file_limit: int | None,
    load: Callable[..., Any] | None,
    before: Callable[[], None] | None,
) -> None:
    # As on a terminal: where the tests run in the background, Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.path.insert(0, str(TOY))
    sys.argv = ["segcli", *command]
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    if load is not None:
        import segcli.pipeline.run

        segcli.pipeline.run.predict = functools.partial(segcli.pipeline.run.predict, load=load)
    if before is not None:
        before()
    from segcli.cli import main

    main()
