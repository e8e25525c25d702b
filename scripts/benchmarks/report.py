"""A report of 200 images in Chromium; the targets are 15 MB and a first view within a second.

The images are pieces of scikit-image's photographs, 960 x 720 px, with twelve masks each. Times are
what the browser itself tells from the start of the navigation, best of RUNS, beside those of an
empty page, which show what the machine and the browser take anyway.
"""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

IMAGES, MASKS, RUNS = 200, 12, 3
HEIGHT, WIDTH = 720, 960
NAMES, IDS = ("person", "bicycle", "car", "motorcycle", "bus", "truck"), (1, 2, 3, 4, 6, 8)
TIMES = """() => {
  const page = performance.getEntriesByType("navigation")[0];
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return [paint.startTime, page.domInteractive, page.loadEventEnd];
}"""


def main() -> dict[str, float | str]:
    from segcli.report import ReportOptions, write_report

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        masks = archive(folder)
        out = folder / "report.html"
        start, cpu = time.perf_counter(), time.process_time()
        done = write_report(ReportOptions(masks=masks, out=out), report=lambda _: None)
        figures: dict[str, float | str] = {
            "images": float(done.cards),
            "MB, target 15": done.size / 1e6,
            "writing it, s": time.perf_counter() - start,
            "writing it, CPU s": time.process_time() - cpu,
        }
        empty = folder / "empty.html"
        empty.write_text("<!doctype html><title>empty</title><p>empty")
        return figures | in_browser(out, empty)


def in_browser(page: Path, empty: Path) -> dict[str, float | str]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        return {"browser": "no Chromium: scripts/setup --system installs it"}
    from playwright.sync_api import sync_playwright

    found: dict[str, float | str] = {}
    with sync_playwright() as api:
        browser = api.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, path in (("an empty page", empty), ("the report", page)):
            times = []
            for _ in range(RUNS):
                tab = browser.new_page(viewport={"width": 1280, "height": 900})
                tab.goto(path.as_uri())
                tab.wait_for_function(
                    "performance.getEntriesByName('first-contentful-paint').length"
                )
                times.append(tab.evaluate(TIMES))
                tab.close()
            words = ("first view", "interactive", "all loaded")
            for word, values in zip(words, zip(*times, strict=True), strict=True):
                found[f"{name}: {word}, s"] = min(values) / 1000
        browser.close()
    return found


def archive(folder: Path) -> Path:
    """Images and the output of a run over them."""
    from PIL import Image
    from skimage import data

    from segcli.store import Settings, open_output
    from segcli.types import Record, Sample, Segment

    rng = np.random.default_rng(0)
    photographs = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    shapes = [shape(rng) for _ in range(10 * MASKS)]
    root = (folder / "images").resolve()
    root.mkdir()
    records = []
    for number in range(IMAGES):
        whole = Image.fromarray(photographs[number % 4])
        left, top = rng.integers(0, 100, 2).tolist()
        piece = whole.crop((left, top, whole.width - 30, whole.height - 30))
        piece.resize((WIDTH, HEIGHT)).save(root / f"{number:04d}.jpg", quality=88)
        segments = []
        for chosen in rng.choice(len(shapes), MASKS, replace=False):
            counts, box, area = shapes[chosen]
            score = float(rng.uniform(0.3, 1))
            segments.append(Segment(int(rng.integers(6)), score, box, area, counts))
        segments.sort(key=lambda segment: -segment.score)
        records.append(Record(Sample(f"{number:04d}.jpg", ""), HEIGHT, WIDTH, segments))
    path = folder / "masks.parquet"
    settings = Settings({"source_root": str(root)}, {"default_score": 0.5})
    with open_output(path, settings, carried={}, categories=(NAMES, IDS)) as output:
        output.commit(records)
    return path


def shape(rng: np.random.Generator) -> tuple:
    """(RLE, box, area) of a ragged ellipse."""
    from segcli.masks import rle

    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    (y, x), (tall, wide) = rng.uniform(0, (HEIGHT, WIDTH)), rng.uniform(15, 160, 2)
    waves = np.sin(rng.integers(3, 12) * np.arctan2(rows - y, columns - x))
    mask = ((rows - y) / tall) ** 2 + ((columns - x) / wide) ** 2 <= 1 + 0.15 * waves
    counts = rle.encode(mask)
    return counts, rle.to_box(counts, HEIGHT, WIDTH), int(mask.sum())


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:<40} {value}")
