"""Records made by hand, and a disk that dies at a chosen step."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segcli.store import Output, Settings, open_output
from segcli.types import Record, Sample, Segment

CATEGORIES = (("person", "car"), (1, 3))
DISK = ("open", "write", "fsync", "rename", "replace", "mkdir", "rmdir", "unlink")


class Killed(BaseException):
    """What kill -9 looks like from inside: nothing touches the disk any more."""


def _sample(key: str, *, version: int = 1) -> Sample:
    return Sample(key, f"/archive/{key}", size_bytes=100, mtime_ns=version)


def _record(
    key: str, masks: int = 1, *, version: int = 1, error: str | None = None, **carried: Any
) -> Record:
    segments = [
        Segment(i % 2, 0.9 - 0.1 * i, (1.0, 2.0, 3.0 + i, 4.0), 5 + i, b"rle%d" % i)
        for i in range(masks)
    ]
    at = replace(_sample(key, version=version), carried=carried)
    return Record(at, None, None, (), error) if error else Record(at, 48, 64, segments)


def _settings(root: str = "/archive", prefix: str = "", **compared: Any) -> Settings:
    return Settings({"source_root": root, "min_score": 0.05, **compared}, {}, prefix)


@pytest.fixture(scope="session")
def sample() -> Callable[..., Sample]:
    """A listed file of 100 bytes; `version` is its mtime."""
    return _sample


@pytest.fixture(scope="session")
def record() -> Callable[..., Record]:
    """What became of it: `masks` segments, of person and car in turn, or an error."""
    return _record


@pytest.fixture(scope="session")
def settings() -> Callable[..., Settings]:
    return _settings


@pytest.fixture
def output(tmp_path: Path) -> Callable[..., Output]:
    """Opens `masks.parquet` in a temporary directory."""

    def opened(name: str = "masks.parquet", *, carried: Any = None, **more: Any) -> Output:
        given = more.pop("settings", None) or _settings()
        return open_output(
            tmp_path / name, given, carried=carried or {}, categories=CATEGORIES, **more
        )

    return opened


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, step: int, *, done: bool) -> Iterator[list[str]]:
    """The process is killed at the given step of those that touch the disk.

    `done`: just after the step, else just before; a write is then torn in the middle.
    """
    steps: list[str] = []

    def patched(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if len(steps) > step:
                raise Killed
            steps.append(name)
            if len(steps) <= step:
                return original(*args, **kwargs)
            if name == "write" and not done:
                original(args[0], args[1][: len(args[1]) // 2])
            elif done:
                original(*args, **kwargs)
            raise Killed

        return call

    with monkeypatch.context() as patch:
        for name in DISK:
            patch.setattr(os, name, patched(name, getattr(os, name)))
        yield steps


@pytest.fixture
def killed_at(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., AbstractContextManager[list[str]]]:
    return lambda step, done=False: dying(monkeypatch, step, done=done)
