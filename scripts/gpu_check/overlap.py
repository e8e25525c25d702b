"""What working on whole batches and overlapping the stages gain, each alone and together.

The models of `throughput` in bfloat16 and batches of 16. "image by image" is how processors work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from unittest.mock import patch

from scripts.benchmarks.loop import random_resnet
from scripts.gpu_check.place import Figures, Place, equal_share, measured, rows_of
from segcli.masks.sampling import segments
from segcli.models import checkpoint
from segcli.pipeline.stages import inference
from segcli.pipeline.stages import overlap as module
from segcli.types import Instances, Segment, Size
from segcli_blocks.rcnn import whole_batch

_WAYS = {  # name: (whole batches, overlapping)
    "image by image": (False, False),
    "overlapping": (False, True),
    "whole batches": (True, False),
    "both": (True, True),
}


def check(place: Place) -> Figures:
    theirs, family, info = random_resnet()
    weights = place.room / "r50.safetensors"
    checkpoint.save(weights, family.convert(theirs.state_dict(), info), info)
    del theirs
    models = {"r50-fpn": {"model": "maskrcnn/r50-fpn", "weights": str(weights)}, "shipped": {}}
    for name, model in models.items():
        chosen = {"precision": "bfloat16", "batch_size": 2 if place.small else 16, **model}
        few, many = (place.photographs(place.count(images)) for images in (32, 192))
        measured(place.options(few, f"{name}-warm", **chosen))
        rows = []
        for way, (whole, ahead) in _WAYS.items():
            options = place.options(many, f"{name}-{way.replace(' ', '-')}", **chosen)
            with ways(whole=whole, ahead=ahead):
                run = measured(options)
            rows.append(rows_of(options.out))
            yield f"{name}, {way}: images/s", run.images_per_s
            yield f"{name}, {way}: GPU busy", run.busy
        yield f"{name}: share of equal masks, overlapping or not", equal_share(rows[0], rows[1])
        yield f"{name}: share of equal masks, whole batches or not", equal_share(rows[0], rows[3])


@contextmanager
def ways(*, whole: bool, ahead: bool) -> Iterator[None]:
    """Switch both off or on, whatever the device."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(whole_batch, "pays", lambda values: whole))
        stack.enter_context(patch.object(module, "Overlap", partial(module.Overlap, ahead=ahead)))
        if not whole:
            stack.enter_context(patch.object(inference, "segments_of_batch", one_by_one))
        yield


def one_by_one(
    found: Sequence[Instances], contents: Sequence[Size], images: Sequence[Size]
) -> list[list[Segment]]:
    each = zip(found, contents, images, strict=True)
    return [segments(one, content_size=c, image_size=s) for one, c, s in each]
