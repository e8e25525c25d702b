"""Images larger than a tile: the model processes the tiles and the whole image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from segcli.images.batch import canvas_size, fit
from segcli.images.tiles import Slicing, cut
from segcli.masks.joining import Piece, join
from segcli.pipeline.stages.prefetch import Loaded
from segcli.types import Image, Record, Segment, Tile

if TYPE_CHECKING:
    from segcli.pipeline.stages.inference import Inference


def sliced(inference: Inference, item: Loaded, slicing: Slicing) -> Iterator[list[Record]]:
    """Nothing after each batch of tiles, which shows that the work goes on; then the record.

    Large objects are found on the whole image, scaled down as without slicing, and small ones on
    the tiles. A tile that fails makes the image a failed row. Raises as `Inference.records` does.
    """
    image = item.image
    assert image is not None
    height, width = image.pixels.shape[:2]
    frame = Tile(0, 0, height, width)
    whole: list[Segment] = []
    pieces: list[Piece] = []
    for tiles in ([frame], slicing.tiles((height, width))):
        for batch, records in _predicted(tiles, image, inference, item):
            for tile, record in zip(batch, records, strict=True):
                if record.error is not None:
                    yield [Record(item.sample, height, width, error=record.error)]
                    return
                if tile == frame:
                    whole += record.segments
                else:
                    pieces += [Piece(segment, tile) for segment in record.segments]
            yield []
    joined = join(pieces, whole, (height, width))
    segments = inference.refinement.refined(
        [joined],
        (height, width),
        min_score=inference.min_score,
        max_masks=inference.max_masks,
    )
    yield [Record(item.sample, height, width, segments=segments, warnings=image.warnings)]


def _predicted(
    tiles: Sequence[Tile], image: Image, inference: Inference, item: Loaded
) -> Iterator[tuple[list[Tile], list[Record]]]:
    """Batches of equally large tiles, and what the model finds in each tile."""
    info = inference.model.info
    done = 0
    while done < len(tiles):
        first = fit(cut(image, tiles[done]), info)
        canvas = canvas_size((first.pixels.shape[0], first.pixels.shape[1]), info.stride)
        batch = list(tiles[done : done + inference.size_of(canvas)])
        images = [first, *(fit(cut(image, tile), info) for tile in batch[1:])]
        loaded = [Loaded(item.index, item.sample, each) for each in images]
        yield batch, inference.records(canvas, loaded, pieces=True)
        done += len(batch)
