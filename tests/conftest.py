"""Fixtures shared by all tests: where recordings and real images lie."""

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Tests that are about OpenVINO ask for it; the others do not depend on whether it is installed.
os.environ["SEGCLI_RUNTIME"] = "torch"

ROOT = Path(__file__).resolve().parent.parent


class _SignalStack(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@pytest.fixture(autouse=True)
def signals_on_the_ordinary_stack() -> None:
    """pytest's faulthandler gives signals a stack of 11 kB. OpenVINO in int8 turns on registers
    (AMX) whose contents alone need more, and the next signal would end the process (SIGSEGV)."""
    if sys.platform == "linux":
        disabled = _SignalStack(None, 2, 0)  # SS_DISABLE
        ctypes.CDLL(None).sigaltstack(ctypes.byref(disabled), None)


@pytest.fixture(scope="session")
def reference() -> Path:
    """The recordings of the authors' own implementations; the trimmed copies where they are not."""
    full = Path(os.environ.get("SEGCLI_REFERENCE", ROOT / "../shared/reference"))
    return full if full.is_dir() else ROOT / "tests/golden"


@pytest.fixture(scope="session")
def data() -> Path:
    """Real images with ground truth; tests that need them are skipped where they are absent."""
    folder = Path(os.environ.get("SEGCLI_DATA", ROOT / "../shared/data"))
    if not folder.is_dir():
        pytest.skip("no real data: set SEGCLI_DATA")
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The distribution's Chromium, headless, driven through Playwright."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    path = path or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium: scripts/setup --system installs it")
    api = pytest.importorskip("playwright.sync_api", reason="no Playwright: scripts/setup")
    with api.sync_playwright() as playwright:
        # Containers have no user namespaces for the sandbox; the pages are our own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
