"""LabelMe: a JSON file for every image, written."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from segcli.annotations import png
from segcli.annotations.losses import Losses
from segcli.annotations.one_each import Place, write_each
from segcli.annotations.paths import beside
from segcli.annotations.selection import Selection
from segcli.masks import rle
from segcli.masks.contours import parts
from segcli.store.image_masks import ImageMasks, Mask

_NOT_THERE = (
    "{} images are not where LabelMe looks for images; `copy_images` or `link_images` places "
    "images next to the files, `images` refers to another folder"
)


def write_labelme(
    selection: Selection, out: Path, *, images: Path | None, place: Place | None = None
) -> Losses:
    """LabelMe json: polygons; a mask of several parts or with holes as LabelMe's shape "mask".

    LabelMe looks for the image next to its file, where `place` puts it, or below `images`.
    """

    def content(image: ImageMasks, tally: Losses) -> bytes:
        folder = beside(out, image.name, ".json").parent
        shown = os.path.basename(image.name)
        if place is not None:
            place(image, folder / shown, tally)
        elif images is not None:
            shown = os.path.relpath(os.path.join(images, image.name), folder)
        if place is None and not os.path.lexists(os.path.normpath(folder / shown)):
            tally.lost(_NOT_THERE)
        document: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [_shape(mask, image) for mask in image.masks],
            "imagePath": shown,
            "imageData": None,
            "imageHeight": image.height,
            "imageWidth": image.width,
        }
        return json.dumps(document, indent=1).encode()

    return write_each(selection, out, ".json", content)


def _shape(mask: Mask, image: ImageMasks) -> dict[str, Any]:
    found = parts(mask.rle, *image.size)
    shape: dict[str, Any] = {
        "label": mask.category,
        "group_id": None,
        "description": f"{mask.score:.4f}",
        "flags": {},
    }
    if len(found) == 1 and not found[0].holes:
        points = [list(map(float, corner)) for corner in found[0].outer]
        return {**shape, "shape_type": "polygon", "points": points, "mask": None}
    x, y, crop = rle.decode_crop(mask.rle, *image.size)
    tall, wide = crop.shape
    corners = [[float(x), float(y)], [float(x + wide - 1), float(y + tall - 1)]]
    encoded = base64.b64encode(png.binary(crop)).decode()
    return {**shape, "shape_type": "mask", "points": corners, "mask": encoded}
