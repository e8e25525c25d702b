"""From the start of a process to its first row: a new output, a resumed one, and nothing new.

Each command runs in a process of its own, TURNS times; the figures are the least seconds by the
clock until the first part is there and until the process ends, and the least processor seconds. The
peer is a script of twenty lines that does the same with torch and torchvision only: it loads a Mask
R-CNN with MobileNetV2 from a file, at the canvas of the shipped model, and writes one JSON file.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.benchmarks.reruns import NEW, archive_with_rows
from scripts.benchmarks.tables import markdown
from scripts.data.photographs import photographs

TURNS = 3
DONE = 100_000
SIZE = (1280, 720)
COLUMNS = (", first row s", ", end s", ", processor s")

PEER = """
import json, sys
import torch
from torchvision.io import decode_image
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import mobilenet_backbone

weights, out, *paths = sys.argv[1:]
body = mobilenet_backbone(
    backbone_name="mobilenet_v2", weights=None, fpn=True, returned_layers=[2, 3, 4, 5]
)
model = MaskRCNN(body, num_classes=7, min_size=416, max_size=704).eval()
if not paths:
    torch.save(model.state_dict(), weights)
    sys.exit()
model.load_state_dict(torch.load(weights, mmap=True))
with torch.inference_mode():
    found = [model([decode_image(path).float() / 255])[0] for path in paths]
with open(out, "w") as file:
    json.dump([{"boxes": f["boxes"].tolist(), "scores": f["scores"].tolist()} for f in found], file)
"""
LOADED = "import segcli; segcli.load()({!r})"
"""One image from Python."""


def main() -> dict[str, float]:
    """The figures."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        images = photographs(room / "images", SIZE, NEW)
        for count in (1, NEW):
            figures |= peer(room, images[:count])
        figures |= shown("segcli.load, 1 image", python(LOADED.format(str(images[0]))))
        for count in (1, NEW):
            figures |= new_output(room / f"new-{count}", images[:count])
        figures |= resumed(room / "resumed")
    return figures


def peer(room: Path, images: list[Path]) -> dict[str, float]:
    weights, out = room / "peer.pth", room / "peer.json"
    subprocess.run(python(PEER, weights, out), check=True)
    label = f"torch and torchvision, {len(images)} image{'s' * (len(images) > 1)}"
    return shown(label, python(PEER, weights, out, *images))


def new_output(room: Path, images: list[Path]) -> dict[str, float]:
    source, out = room / "images", room / "m.parquet"
    source.mkdir(parents=True)
    for image in images:
        shutil.copy(image, source)
    label = f"predict, new output, {len(images)} image{'s' * (len(images) > 1)}"

    def clean() -> None:
        shutil.rmtree(out, ignore_errors=True)

    return shown(label, predict(source, out), clean, out)


def resumed(room: Path) -> dict[str, float]:
    """With DONE images that have rows in parts as `segcli compact` leaves them."""
    source, out = archive_with_rows(room, DONE)
    before = {*out.iterdir()}

    def clean() -> None:
        for part in {*out.iterdir()} - before:
            part.unlink()

    figures = shown(f"predict, {DONE:,} done, {NEW} new", predict(source, out), clean, out)
    once(predict(source, out), None)
    return figures | shown(f"predict, {DONE:,} done, nothing new", predict(source, out))


def shown(
    label: str, command: list[str], clean: Callable[[], None] | None = None, out: Path | None = None
) -> dict[str, float]:
    """The least seconds of TURNS runs, after one that fills the caches; `clean` comes before each.

    `out` is the folder in which the first new file is awaited, if any.
    """
    found = []
    for _ in range(TURNS + 1):
        if clean is not None:
            clean()
        found.append(once(command, out))
    figures = [min(value) for value in zip(*found[1:], strict=True)]
    pairs = zip(COLUMNS if out else COLUMNS[1:], figures if out else figures[1:], strict=True)
    return {f"{label}{column}": value for column, value in pairs}


def once(command: list[str], out: Path | None) -> tuple[float, float, float]:
    """Seconds until the first new file in `out`, until the end, and of processor."""
    count = _files(out)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    first: float | None = None
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=compiling())
        while process.poll() is None:
            if first is None and _files(out) > count:
                first = time.perf_counter() - began
            time.sleep(0.005)
        end = time.perf_counter() - began
        log.seek(0)
        assert process.returncode == 0, log.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return first or end, end, spent


def compiling() -> dict[str, str]:
    """The environment, in which Python keeps compiled modules, as an installed package has them."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def _files(out: Path | None) -> int:
    return len(os.listdir(out)) if out is not None and out.exists() else 0


def python(code: str, *arguments: Any) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def predict(source: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "segcli", "predict", str(source), "--out", str(out)]


def table(figures: dict[str, Any]) -> str:
    """One line for each command."""
    labels = dict.fromkeys(key.removesuffix(COLUMNS[1]) for key in figures if COLUMNS[1] in key)
    lines = [(label, *(figures.get(label + column) for column in COLUMNS)) for label in labels]
    return markdown(("", "first row, s", "end, s", "processor s"), lines)


if __name__ == "__main__":
    for key, value in main().items():
        print(f"{key:<56} {value:.2f}")
