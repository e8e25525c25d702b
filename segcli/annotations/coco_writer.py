"""COCO json: instances, importable by CVAT and Label Studio, and results, for evaluators."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from segcli.annotations.losses import Losses
from segcli.annotations.paths import one_file
from segcli.annotations.selection import Mask, Picture, Selection
from segcli.masks.contours import parts, signed_area


def write_instances(selection: Selection, out: Path, *, polygons: bool) -> Losses:
    """All ids count from 1. Masks are RLE as text, or polygons, which know no holes."""
    tally = Losses()
    with one_file(out) as file:
        file.write('{"info": {"description": "written by segcli export"}, "images": ')
        _list(file, (_image(picture, tally) for picture in selection.pictures()))
        file.write(', "annotations": ')
        _list(file, _annotations(selection, tally, polygons=polygons))
        file.write(', "categories": ')
        _list(
            file,
            (
                {"id": number, "name": name, "supercategory": ""}
                for name, number in selection.categories
                if name in selection.wanted
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
                    "image_id": picture.id,
                    "category_id": selection.categories[mask.label][1],
                    "segmentation": _rle(mask, picture),
                    "score": mask.score,
                }
                for picture in tally.counted(selection.with_masks())
                for mask in picture.masks
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


def _image(picture: Picture, tally: Losses) -> dict[str, Any]:
    return {
        "id": picture.id,
        "file_name": tally.text(picture.name),
        "height": picture.height,
        "width": picture.width,
    }


def _annotations(
    selection: Selection, tally: Losses, *, polygons: bool
) -> Iterable[dict[str, Any]]:
    number = 0
    for picture in tally.counted(selection.with_masks()):
        for mask in picture.masks:
            number += 1
            yield {
                "id": number,
                "image_id": picture.id,
                "category_id": selection.categories[mask.label][1],
                "segmentation": _polygons(mask, picture, tally)
                if polygons
                else _rle(mask, picture),
                "area": mask.area,
                "bbox": list(mask.box),
                "iscrowd": 0,
                "score": mask.score,
            }


def _rle(mask: Mask, picture: Picture) -> dict[str, Any]:
    return {"size": [picture.height, picture.width], "counts": mask.rle.decode("ascii")}


def _polygons(mask: Mask, picture: Picture, tally: Losses) -> list[list[int]]:
    """The largest part first, for Label Studio's own reader takes the first polygon alone."""
    found = parts(mask.rle, picture.height, picture.width)
    if any(part.holes for part in found):
        tally.lost("holes of {} masks were filled: polygons of COCO have none")
    if len(found) > 1:
        tally.lost("{} masks have several polygons: Label Studio reads the first, the largest")
    found.sort(key=lambda part: -abs(signed_area(part.outer)))
    return [[side for corner in part.outer for side in corner] for part in found]
