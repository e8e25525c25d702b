"""Small objects in a large image: --slice against the whole image, tiles that nobody joins, and
SAHI, with the weights that ship and on the same pixels, one after another in one run.

The image is a mosaic of the pictures with ground truth at $SEGCLI_DATA, 2,560 px wide. Recall
counts objects of the model's categories at a mask IoU of 1/2; duplicates are predictions that match
an object which a better one has matched already. SAHI is measured where it is installed, with its
own defaults (overlap 0.2, GREEDYNMM, IOS 0.5) and segcli's model inside.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

import segcli
from segcli.api.model import Model
from segcli.api.result import Result
from segcli.images import decode
from segcli.images.tiles import Slicing, cut
from segcli.masks import rle
from segcli.types import Image, Size, Tile

ROOT = Path(__file__).resolve().parents[2]
SIDE = 640  # px of a tile
CELL = (480, 640)  # px of a picture's place in the mosaic
GRID = (4, 4)
SMALL = 32**2  # px, as COCO has it
MIN_SCORE, MAX_MASKS = 0.3, 1000
Found = list[tuple[str, float, bytes]]  # category, score, RLE in the mosaic


@dataclass(frozen=True, slots=True)
class Mosaic:
    """`pixels` uint8 (H, W, 3); `truth`: category and RLE of every object."""

    pixels: NDArray[np.uint8]
    truth: list[tuple[str, bytes]]

    @property
    def size(self) -> Size:
        return self.pixels.shape[0], self.pixels.shape[1]


def main() -> dict[str, float]:
    """Recall of all and of small objects, duplicates, and seconds of each way."""
    load = partial(
        segcli.load, device="cpu", precision="float32", min_score=MIN_SCORE, max_masks=MAX_MASKS
    )
    model, sliced = load(), load(slice=str(SIDE))
    mosaic = make_mosaic(model.categories)
    ways: dict[str, Callable[[], Found]] = {
        "whole image": lambda: _found(model(mosaic.pixels)),
        "segcli --slice": lambda: _found(sliced(mosaic.pixels)),
        "tiles, not joined": lambda: plain_tiles(model, mosaic),
    }
    if find_spec("sahi") is not None:
        ways["SAHI"] = sahi_way(model, mosaic)
    figures: dict[str, float] = {"objects": len(mosaic.truth)}
    for name, way in ways.items():
        begin, cpu = time.perf_counter(), time.process_time()
        found = way()
        figures[f"{name}, s"] = time.perf_counter() - begin
        figures[f"{name}, processor s"] = time.process_time() - cpu
        figures |= {f"{name}, {key}": value for key, value in measure(mosaic, found).items()}
    return figures


def make_mosaic(categories: tuple[str, ...]) -> Mosaic:
    """The pictures that have most small objects of the categories, each in a cell of the grid."""
    folder = Path(os.environ.get("SEGCLI_DATA", ROOT / "../shared/data")) / "coco80_val"
    annotations = json.loads((folder / "annotations.json").read_text())
    names = {each["id"]: each["name"] for each in annotations["categories"]}
    objects: dict[int, list[dict[str, Any]]] = {}
    for each in annotations["annotations"]:
        if names[each["category_id"]] in categories and not each.get("iscrowd"):
            objects.setdefault(each["image_id"], []).append(each)
    pictures = [
        each
        for each in annotations["images"]
        if each["height"] <= CELL[0] and each["width"] <= CELL[1]
    ]
    pictures.sort(key=lambda each: (-len(_small(objects.get(each["id"], []))), each["id"]))
    size = CELL[0] * GRID[0], CELL[1] * GRID[1]
    pixels, truth = np.zeros((*size, 3), np.uint8), []
    for place, picture in enumerate(pictures[: GRID[0] * GRID[1]]):
        height, width = picture["height"], picture["width"]
        tile = Tile(place // GRID[1] * CELL[0], place % GRID[1] * CELL[1], height, width)
        path = folder / "images" / Path(picture["file_name"]).name
        pixels[tile.y : tile.y + height, tile.x : tile.x + width] = decode(
            path.read_bytes(), key=path.name
        ).pixels
        for each in objects.get(picture["id"], []):
            mask = rle.from_coco(each["segmentation"], height, width)
            truth.append((names[each["category_id"]], rle.place(mask, tile, size)))
    return Mosaic(pixels, truth)


def _small(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in objects if each["area"] < SMALL]


def _found(result: Result) -> Found:
    names = [result.categories[label] for label in result.labels]
    return list(zip(names, result.scores.tolist(), result.rles, strict=True))


def plain_tiles(model: Model, mosaic: Mosaic) -> Found:
    """The same tiles, each as an image, and nothing done about seams."""
    image = Image("mosaic", mosaic.pixels, mosaic.size)
    found: Found = []
    for tile in Slicing(SIDE, SIDE // 5).tiles(mosaic.size):
        part = _found(model(np.ascontiguousarray(cut(image, tile).pixels)))
        found += [(name, score, rle.place(mask, tile, mosaic.size)) for name, score, mask in part]
    return found


def sahi_way(model: Model, mosaic: Mosaic) -> Callable[[], Found]:
    """SAHI's sliced prediction of segcli's model."""
    from sahi.models.base import DetectionModel
    from sahi.predict import get_sliced_prediction
    from sahi.prediction import ObjectPrediction
    from sahi.utils.compatibility import fix_full_shape_list, fix_shift_amount_list
    from sahi.utils.cv import get_coco_segmentation_from_bool_mask

    class Wrapped(DetectionModel):  # type: ignore[misc]
        def load_model(self) -> None:
            self.model = model

        def perform_inference(self, image: NDArray[np.uint8]) -> None:
            self._original_predictions = model(np.ascontiguousarray(image))

        def _create_object_prediction_list_from_original_predictions(
            self, shift_amount_list: Any = None, full_shape_list: Any = None
        ) -> None:
            result = self._original_predictions
            (shift,) = fix_shift_amount_list(shift_amount_list)
            full = fix_full_shape_list(full_shape_list)
            full = full[0] if full else list(mosaic.size)
            found = []
            for index, (name, score, text) in enumerate(_found(result)):
                mask = rle.decode(text, result.height, result.width)
                outline = get_coco_segmentation_from_bool_mask(mask)
                if outline:
                    found.append(
                        ObjectPrediction(
                            segmentation=outline, category_id=int(result.labels[index]),
                            category_name=name, score=score, shift_amount=shift, full_shape=full,
                        )
                    )  # fmt: skip
            self._object_prediction_list_per_image = [found]

    wrapped = Wrapped(confidence_threshold=MIN_SCORE, device="cpu")

    def run() -> Found:
        result = get_sliced_prediction(
            mosaic.pixels, wrapped, slice_height=SIDE, slice_width=SIDE, verbose=0
        )
        return [
            (each.category.name, float(each.score.value), rle.encode(each.mask.bool_mask))
            for each in result.object_prediction_list
            if each.mask is not None
        ]

    return run


def measure(mosaic: Mosaic, found: Found) -> dict[str, float]:
    """Recall of all objects and of the small ones, predictions, and duplicates among them."""
    height, width = mosaic.size
    hit, duplicates = set(), 0
    for name in {name for name, _ in mosaic.truth}:
        wanted = [i for i, (each, _) in enumerate(mosaic.truth) if each == name]
        ours = sorted((f for f in found if f[0] == name), key=lambda f: -f[1])
        if not ours:
            continue
        theirs = [{"size": [height, width], "counts": mosaic.truth[i][1]} for i in wanted]
        masks = [{"size": [height, width], "counts": text} for _, _, text in ours]
        for row in coco.iou(masks, theirs, [0] * len(theirs)):
            free = [i for i in np.argsort(-row) if row[i] >= 0.5 and wanted[i] not in hit]
            if free:
                hit.add(wanted[free[0]])
            elif row.max() >= 0.5:
                duplicates += 1
    areas = [rle.area(text, height, width) for _, text in mosaic.truth]
    small = {i for i, area in enumerate(areas) if area < SMALL}
    return {
        "recall": len(hit) / len(areas),
        "recall, small": len(hit & small) / len(small),
        "masks": len(found),
        "duplicates": duplicates,
    }
