"""Freed memory stays with the process, so that the kernel need not zero it again."""

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from segcli.pipeline.malloc import keep_memory

# As between two layers: one piece is freed, the next one of its size is asked for and filled.
FAULTS = """
import resource, sys
from segcli.pipeline.malloc import keep_memory
kept = keep_memory()
def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(100 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
pages()
print(kept, pages())
"""
USERS_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def second_time(**environment: str) -> tuple[bool, int]:
    """Whether memory is kept, and the pages that 100 MB cost a process for the second time."""
    given = {k: v for k, v in os.environ.items() if k not in USERS_OWN}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env={**given, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    kept, pages = done.stdout.split()
    return kept == "True", int(pages)


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="mallopt is glibc's"
)
def test_the_next_piece_costs_no_pages() -> None:
    kept, pages = second_time()
    assert kept
    assert pages < 100


@pytest.mark.slow
@pytest.mark.parametrize(
    "own", [{"MALLOC_TRIM_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}]
)
def test_what_the_user_has_chosen_stays(own) -> None:
    kept, pages = second_time(**own)
    assert not kept
    assert pages > 1000  # mapped anew: 100 MB are at least 1,600 pages, of 64 kB


def test_another_library_is_left_alone(monkeypatch) -> None:
    for name in USERS_OWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert keep_memory() is False
