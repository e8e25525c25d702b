"""The toy families made visible, and folders of small pictures."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

TOY = Path(__file__).resolve().parent.parent / "toy"
sys.path.insert(0, str(TOY))
import segcli_toy  # noqa: E402, F401  the tests here import these by name
import segcli_troubled  # noqa: E402, F401
import toy_data  # noqa: E402
import toy_faults  # noqa: E402, F401
import toy_gate  # noqa: E402, F401
import toy_processes  # noqa: E402, F401
import toy_worker  # noqa: E402, F401

sys.path.remove(str(TOY))  # the tests elsewhere find only what is installed


@pytest.fixture(autouse=True)
def _toy_families(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TOY)


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Path]:
    """make(count, sizes=..., name=...) -> a folder of that many PNGs of these sizes in turn.

    Those that are there already stay as they are.
    """

    def make(
        count: int, sizes: tuple[tuple[int, int], ...] = ((48, 64),), name: str = "images"
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            if (folder / f"{number:04d}.png").exists():
                continue
            pixels = toy_data.picture(number, sizes[number % len(sizes)])
            Image.fromarray(pixels).save(folder / f"{number:04d}.png", compress_level=1)
        return folder

    return make


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 frames at 10 per second."""
    sys.path.insert(0, str(TOY.parent / "video"))
    from numbered import write_clip

    sys.path.pop(0)
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mkv", 30, codec="libx264")
