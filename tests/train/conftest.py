"""Two tiny annotated data sets, drawn by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CATEGORIES = [{"id": 3, "name": "disc"}, {"id": 7, "name": "box"}]


def disc_and_box(seed: int) -> tuple[np.ndarray, list[dict]]:
    """An 80 x 96 px picture of a red box and a green disc on grey noise, with its annotations."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(90, 130, (80, 96, 3), dtype=np.uint8)
    x, y = (int(v) for v in rng.integers(5, 20, 2))
    pixels[y : y + 30, x : x + 24] = (220, 40, 40)
    cx, cy, r = 70, int(rng.integers(30, 50)), 16
    rows, columns = np.mgrid[:80, :96]
    pixels[(rows - cy) ** 2 + (columns - cx) ** 2 < r * r] = (40, 200, 60)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    outline = np.stack((cx + r * np.cos(angles), cy + r * np.sin(angles)), axis=1).ravel()
    corners = [x, y, x + 24, y, x + 24, y + 30, x, y + 30]
    return pixels, [
        {"category_id": 7, "segmentation": [corners], "bbox": [x, y, 24, 30], "area": 720},
        {
            "category_id": 3,
            "segmentation": [outline.tolist()],
            "bbox": [cx - r, cy - r, 2 * r, 2 * r],
            "area": 790,
        },
    ]


def write_dataset(folder: Path, count: int, *, first: int = 0) -> tuple[Path, Path]:
    """`count` pictures and their COCO json; returns (images, annotations)."""
    images = folder / "images"
    images.mkdir(parents=True)
    entries, annotations = [], []
    for index in range(count):
        pixels, objects = disc_and_box(first + index)
        Image.fromarray(pixels).save(images / f"{index}.png")
        entries.append({"id": index, "file_name": f"{index}.png", "height": 80, "width": 96})
        for found in objects:
            found |= {"id": len(annotations) + 1, "image_id": index, "iscrowd": 0}
            annotations.append(found)
    content = {"images": entries, "annotations": annotations, "categories": CATEGORIES}
    (folder / "ann.json").write_text(json.dumps(content))
    return images, folder / "ann.json"


@pytest.fixture
def dataset(tmp_path: Path) -> tuple[Path, Path]:
    return write_dataset(tmp_path / "data", 4)
