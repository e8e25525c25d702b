"""What this process may use of the machine."""

import os

import pytest

from segcli.machine import cores, resident_bytes


def test_the_cores_of_this_process() -> None:
    assert list(cores()) == sorted(os.sched_getaffinity(0))


def test_the_cores_where_the_system_knows_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert cores() == (0, 1, 2)


def test_the_memory_of_this_process() -> None:
    assert 1 << 20 < resident_bytes() < 1 << 40
