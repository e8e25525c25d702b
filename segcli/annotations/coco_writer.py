"""COCO json: instances, importable by CVAT and Label Studio, and results, for evaluators."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from segcli.annotations.losses import Losses
from segcli.annotations.paths import one_file
from segcli.annotations.selection import Selection
from segcli.keys import path_from_key
from segcli.masks.contours import parts, signed_area
from segcli.store.image_masks import ImageMasks, Mask
from segcli.types import Segment


def write_instances(selection: Selection, out: Path, *, polygons: bool) -> Losses:
    """All ids count from 1. Masks are RLE as text, or polygons, which know no holes."""
    tally = Losses()
    with one_file(out) as file:
        file.write('{"info": {"description": "written by segcli export"}, "images": ')
        videos = _Videos()
        images = enumerate(selection.images(), 1)
        _list(file, (_image(i, image, tally) | videos.part(image) for i, image in images))
        if videos.ids:
            file.write(', "videos": ')
            names = ((n, tally.text(name)) for name, n in videos.ids.items())
            _list(file, ({"id": n, "name": name} for n, name in names))
        file.write(', "annotations": ')
        _list(file, _annotations(selection, tally, polygons=polygons))
        file.write(', "categories": ')
        _list(
            file,
            (_category(selection, name) for name in selection.names),
        )
        file.write("}\n")
    return tally


def write_results(selection: Selection, out: Path, *, iou: str = "segm") -> Losses:
    """A list of detections with the ids that the instances of the same output have.

    `iou`: what they are compared by, "segm", "bbox" or "keypoints". A detection has only that, and
    the score by which it is ranked, because pycocotools would take the area of a box for that of
    its mask.
    """
    tally = Losses()
    with one_file(out) as file:
        _list(file, _results(selection, tally, iou))
        file.write("\n")
    return tally


def _results(selection: Selection, tally: Losses, iou: str) -> Iterator[dict[str, Any]]:
    images = tally.counted(selection.with_masks(), keypoints=iou == "keypoints")
    for number, image in enumerate(images, 1):
        for mask in image.masks:
            result: dict[str, Any] = {
                "image_id": number,
                "category_id": selection.ids[mask.category],
            }
            score = mask.score
            if iou == "segm":
                result["segmentation"] = _rle(mask, image)
                score = mask.score if mask.mask_score is None else mask.mask_score
            elif iou == "bbox":
                result["bbox"] = list(mask.box)
            elif mask.keypoints is None:
                tally.lost("{} masks without keypoints were left out")
                continue
            else:
                result["keypoints"] = [value for point in mask.keypoints for value in point]
            yield {**result, "score": score}


class _Videos:
    """The videos of frames, as in COCO-VID and YouTube-VIS; ids count from 1."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def part(self, image: ImageMasks) -> dict[str, int]:
        if image.frame is None:
            return {}
        number = self.ids.setdefault(path_from_key(image.key), len(self.ids) + 1)
        return {"video_id": number, "frame_id": image.frame}


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
) -> Iterator[dict[str, Any]]:
    number = 0
    images = tally.counted(selection.with_masks(), keypoints=True, tracks=True)
    for image_id, image in enumerate(images, 1):
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
                **extras(mask),
            }


def extras(mask: Mask | Segment) -> dict[str, Any]:
    """The mask score, the zones, the track and the keypoints, where there are any. The scores of
    keypoints, for which COCO has no place, are a list of our own."""
    found: dict[str, Any] = {}
    if mask.mask_score is not None:
        found["mask_score"] = mask.mask_score
    if mask.zones is not None:
        found["zones"] = list(mask.zones)
    if mask.track_id is not None:
        found["track_id"] = mask.track_id
    if mask.keypoints is not None:
        flags = [2 if score > 0 else 0 for _, _, score in mask.keypoints]
        places = zip(mask.keypoints, flags, strict=True)
        found["keypoints"] = [value for (x, y, _), v in places for value in (x, y, v)]
        found["num_keypoints"] = sum(v > 0 for v in flags)
        found["keypoint_scores"] = [score for _, _, score in mask.keypoints]
    return found


def _category(selection: Selection, name: str) -> dict[str, Any]:
    category: dict[str, Any] = {"id": selection.ids[name], "name": name, "supercategory": ""}
    skeleton = selection.skeletons.get(name)
    if skeleton is not None:
        category["keypoints"] = list(skeleton.names)
        category["skeleton"] = [[a + 1, b + 1] for a, b in skeleton.lines]  # COCO counts from 1
    return category


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
