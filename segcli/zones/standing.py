"""Which zones masks stand in, from run lengths: each zone is drawn once for each size of frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from segcli.cameras import COLUMN, camera_of
from segcli.masks import even_odd, rle
from segcli.store.image_masks import ImageMasks
from segcli.types import Record, Size
from segcli.zones.zone import LOWER_EDGE, Zone, Zones

_MOST_DRAWN = 256  # pairs of zone and size that are kept


@dataclass(slots=True)
class ZonePass:
    """Gives masks their zones; keeps the zones that it has drawn. `stated` are the cameras of keys
    that a manifest has stated."""

    zones: Zones
    stated: Mapping[str, str] = field(default_factory=dict)
    _drawn: dict[tuple[Zone, Size], bytes] = field(default_factory=dict)

    def record(self, record: Record) -> Record:
        """The record with `zones` in its segments, and without those that `use` drops."""
        if record.height is None or record.width is None or not record.segments:
            return record
        stated = record.sample.carried.get(COLUMN)
        camera = camera_of(record.sample.key, None if stated is None else str(stated))
        places = self.places(
            record.sample.key,
            camera,
            (record.height, record.width),
            [segment.rle for segment in record.segments],
        )
        return replace(
            record,
            segments=[
                replace(segment, zones=names)
                for segment, names in zip(record.segments, places, strict=True)
                if names is not None
            ],
        )

    def of(self, key: str) -> tuple[Zone, ...]:
        """The zones of an image."""
        return self.zones.of(key, camera_of(key, self.stated.get(key)))

    def image(self, image: ImageMasks) -> ImageMasks:
        """The same for an image of an output. Raises UsageError for a damaged RLE."""
        if not image.masks:
            return image
        for mask in image.masks:
            rle.check(mask.rle, *image.size)
        texts = [mask.rle for mask in image.masks]
        camera = camera_of(image.key, self.stated.get(image.key))
        places = self.places(image.key, camera, image.size, texts)
        masks = zip(image.masks, places, strict=True)
        return replace(
            image,
            masks=tuple(replace(mask, zones=names) for mask, names in masks if names is not None),
        )

    def places(
        self, key: str, camera: str, size: Size, texts: Sequence[bytes]
    ) -> list[tuple[str, ...] | None]:
        """The names of the zones that each mask stands in, in the order of the file; None for a
        mask that is dropped. `texts` are checked RLEs of `size` (height, width) px."""
        found = [zone for zone in self.zones.of(key, camera) if not zone.is_line]
        if not found or not texts:
            return [()] * len(texts)
        inside = np.zeros((len(texts), len(found)), bool)
        for measure in {zone.measure for zone in found}:
            columns = [i for i, zone in enumerate(found) if zone.measure == measure]
            parts = texts
            if measure == "lower edge":
                parts = rle.lower_edges(texts, size, share=LOWER_EDGE)
            regions = [self._region(found[i], size) for i in columns]
            limits = np.array([found[i].share for i in columns])
            # A share of exactly the limit counts, whatever rounding does.
            inside[:, columns] = rle.shares_inside(parts, regions, size) >= limits - 1e-9
        return [_placed(found, row) for row in inside.tolist()]

    def _region(self, zone: Zone, size: Size) -> bytes:
        known = self._drawn.get((zone, size))
        if known is None:
            if len(self._drawn) >= _MOST_DRAWN:
                self._drawn.clear()
            known = self._drawn[zone, size] = region(zone, size)
        return known


def region(zone: Zone, size: Size) -> bytes:
    """The RLE of a zone on a frame of `size` (height, width) px: the pixels whose centres are
    inside one of its polygons."""
    height, width = size
    inside = np.zeros(size, bool)
    for polygon in zone.polygons:
        filled = np.zeros(size, bool)
        for ring in polygon:  # a hole turns its pixels off again
            points = np.array(ring) * (width, height)
            filled ^= rle.decode(even_odd.fill(points, height, width), height, width)
        inside |= filled
    return rle.encode(inside)


def _placed(zones: Sequence[Zone], inside: Sequence[bool]) -> tuple[str, ...] | None:
    """None: dropped. A mask stays if it stands in one of the zones to keep, where there are any,
    and in none of those to drop."""
    stood = [zone for zone, within in zip(zones, inside, strict=True) if within]
    uses = {zone.use for zone in stood}
    if "drop" in uses or ("keep" not in uses and any(zone.use == "keep" for zone in zones)):
        return None
    return tuple(zone.name for zone in stood)
