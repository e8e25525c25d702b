"""MOTChallenge's text files: a line for each mask of a track, a file for each video.

Boxes as in Dendorfer et al. (IJCV 2021), "frame,id,x,y,w,h,score,-1,-1,-1", or masks as in
Voigtlaender et al. (CVPR 2019), "frame id category height width rle". Frames count from 1 in the
video.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from segcli.annotations.losses import Losses
from segcli.annotations.paths import beside
from segcli.annotations.selection import Selection
from segcli.errors import UsageError
from segcli.files import write_bytes
from segcli.keys import path_from_key
from segcli.store.image_masks import ImageMasks, Mask


def write_mot(selection: Selection, out: Path, *, masks: bool) -> Losses:
    """A file below `out` for each video with tracks; the boxes or, with `masks`, the masks.

    Masks in no track and stills are left out and counted. Raises UsageError if no mask is in a
    track.
    """
    line = _mask if masks else _box
    tally = Losses()
    videos: dict[str, list[tuple[int, str]]] = {}
    for image in tally.counted(selection.with_masks(), tracks=True):
        for mask in image.masks:
            if image.frame is None:
                tally.lost("{} masks of stills were left out: the format is for videos")
            elif mask.track_id is None:
                tally.lost("{} masks in no track were left out")
            else:
                text = line(image.frame + 1, mask, image, selection)
                videos.setdefault(path_from_key(image.key), []).append((image.frame, text))
    if not videos:
        raise UsageError(
            f"no mask of a video in {selection.path} is in a track; make tracks with segcli track"
        )
    places: dict[Path, str] = {}
    for name in videos:
        path = beside(out, name, ".txt")
        if (other := places.setdefault(path, name)) != name:
            raise UsageError(
                f"{other} and {name} would both be written to {path}; choose one with `key`"
            )
    for path, name in places.items():
        lines = sorted(videos[name], key=lambda pair: pair[0])
        text = "".join(f"{line}\n" for _, line in lines)
        write_bytes(path, text.encode())
    return tally


Line = Callable[[int, Mask, ImageMasks, Selection], str]


def _box(frame: int, mask: Mask, image: ImageMasks, selection: Selection) -> str:
    sides = ",".join(f"{side:g}" for side in mask.box)
    return f"{frame},{mask.track_id},{sides},{mask.score:g},-1,-1,-1"


def _mask(frame: int, mask: Mask, image: ImageMasks, selection: Selection) -> str:
    size = f"{image.height} {image.width}"
    category = selection.ids[mask.category]
    return f"{frame} {mask.track_id} {category} {size} {mask.rle.decode('ascii')}"
