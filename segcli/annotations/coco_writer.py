"""COCO json: instances, importable by CVAT and Label Studio, and results, for evaluators."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from segcli.annotations.losses import Losses
from segcli.annotations.paths import one_file
from segcli.annotations.selection import Selection
from segcli.masks.contours import parts, signed_area
from segcli.store.image_masks import ImageMasks, Mask


def write_instances(selection: Selection, out: Path, *, polygons: bool) -> Losses:
    """All ids count from 1. Masks are RLE as text, or polygons, which know no holes."""
    tally = Losses()
    with one_file(out) as file:
        file.write('{"info": {"description": "written by segcli export"}, "images": ')
        _list(file, (_image(i, image, tally) for i, image in enumerate(selection.images(), 1)))
        file.write(', "annotations": ')
        _list(file, _annotations(selection, tally, polygons=polygons))
        file.write(', "categories": ')
        _list(
            file,
            (
                {"id": selection.ids[name], "name": name, "supercategory": ""}
                for name in selection.names
            ),
        )
        file.write("}\n")
    return tally


def write_results(selection: Selection, out: Path) -> Losses:
    """A list of detections with the ids that the instances of the same output have."""
    tally = Losses()
    with one_file(out) as file:
        _list(
            file,
            (
                {
                    "image_id": number,
                    "category_id": selection.ids[mask.category],
                    "segmentation": _rle(mask, image),
                    "score": mask.score,
                }
                for number, image in enumerate(tally.counted(selection.with_masks()), 1)
                for mask in image.masks
            ),
        )
        file.write("\n")
    return tally


def _list(file: TextIO, items: Iterable[dict[str, Any]]) -> None:
    """A JSON list, one object per line, never whole in memory."""
    file.write("[")
    for i, item in enumerate(items):
        file.write((",\n" if i else "\n") + json.dumps(item))
    file.write("]")


def _image(number: int, image: ImageMasks, tally: Losses) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": tally.text(image.name),
        "height": image.height,
        "width": image.width,
    }


def _annotations(
    selection: Selection, tally: Losses, *, polygons: bool
) -> Iterable[dict[str, Any]]:
    number = 0
    for image_id, image in enumerate(tally.counted(selection.with_masks()), 1):
        for mask in image.masks:
            number += 1
            yield {
                "id": number,
                "image_id": image_id,
                "category_id": selection.ids[mask.category],
                "segmentation": _polygons(mask, image, tally) if polygons else _rle(mask, image),
                "area": mask.area,
                "bbox": list(mask.box),
                "iscrowd": 0,
                "score": mask.score,
            }


def _rle(mask: Mask, image: ImageMasks) -> dict[str, Any]:
    return {"size": [image.height, image.width], "counts": mask.rle.decode("ascii")}


def _polygons(mask: Mask, image: ImageMasks, tally: Losses) -> list[list[int]]:
    """The largest part first, for Label Studio's own reader takes the first polygon alone."""
    found = parts(mask.rle, *image.size)
    if any(part.holes for part in found):
        tally.lost("holes of {} masks were filled: polygons of COCO have none")
    if len(found) > 1:
        tally.lost("{} masks have several polygons: Label Studio reads the first, the largest")
    found.sort(key=lambda part: -abs(signed_area(part.outer)))
    return [[side for corner in part.outer for side in corner] for part in found]
