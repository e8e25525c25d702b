"""Make docs/zones.jpg: the page on which zones are drawn, on a photograph of scikit-image.

Run it with `python -m scripts.figures.zones`; it needs Chromium and the packages for development.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import skimage.data
from playwright.sync_api import sync_playwright

from segcli.types import Image
from segcli.zones import parse_zones
from segcli.zones.page import drawing_page

OUT = Path(__file__).resolve().parents[2] / "docs/zones.jpg"
BAY = [[0.14, 0.62], [0.86, 0.62], [0.97, 0.97], [0.05, 0.97]]
BENCH = [[0.02, 0.2], [0.2, 0.2], [0.2, 0.6], [0.02, 0.6]]
EXIT = [[0.94, 0.6], [0.94, 0.15]]


def zones() -> dict[str, object]:
    """As a GeoJSON FeatureCollection."""
    drawn = (
        ("parking bay", "Polygon", [BAY], {"use": "label"}),
        ("bench", "Polygon", [BENCH], {"use": "drop", "measure": "area"}),
        ("exit", "LineString", EXIT, {}),
    )
    features = [
        {
            "type": "Feature",
            "geometry": {"type": kind, "coordinates": coordinates},
            "properties": {"name": name, "camera": "garage", "units": "share", **properties},
        }
        for name, kind, coordinates, properties in drawn
    ]
    return {"type": "FeatureCollection", "features": features}


def main() -> None:
    pixels, _, _ = skimage.data.stereo_motorcycle()
    image = Image("garage.jpg", pixels, pixels.shape[:2])
    known = parse_zones(json.loads(json.dumps(zones())), named="zones.json")
    html = drawing_page(image, known, camera="garage", file="zones.json")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "zones.html"
        page_file.write_text(html)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1100, "height": 740})
        page.goto(page_file.as_uri())
        page.locator("#list button").first.click()
        page.screenshot(path=OUT, type="jpeg", quality=70)
        browser.close()
    print(f"{OUT}: {OUT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
