"""A gate: whoever works for a toy waits before a certain image until a file is there.

So a test finds a run in the middle of its work, however fast or slow the machine is.
"""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

_PATIENCE_S = 400.0  # longer than any test waits; a run that was forgotten ends after all


def shut(path: str, key: str) -> None:
    """For `toy_processes.start(before=...)`: images from `key` on wait until `path` exists."""
    os.environ["TOY_GATE"] = f"{key}:{path}"


def wait(keys: Iterable[str], is_over: Callable[[], bool] = lambda: False) -> None:
    """Before the images `keys` are done; `is_over`: nobody wants them any more."""
    first, _, path = os.environ.get("TOY_GATE", "").partition(":")
    if not path or max(keys) < first:
        return
    deadline = time.monotonic() + _PATIENCE_S
    while not (Path(path).exists() or is_over()):
        if time.monotonic() > deadline:
            os._exit(1)
        time.sleep(0.005)
