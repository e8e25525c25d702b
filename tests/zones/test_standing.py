"""Which zones masks stand in, against plain pixels."""

import numpy as np
import pytest

from segcli.errors import UsageError
from segcli.masks import rle
from segcli.store.image_masks import ImageMasks, Mask
from segcli.types import Record, Sample, Segment
from segcli.zones import Zone, ZonePass, Zones
from segcli.zones.standing import region

SIZE = (100, 200)


def zones(*known: Zone) -> Zones:
    return Zones(known, "zones.json", "", {})


def box(left: float, top: float, right: float, bottom: float):
    return (((left, top), (right, top), (right, bottom), (left, bottom)),)


def text(top: int, left: int, tall: int, wide: int) -> bytes:
    mask = np.zeros(SIZE, bool)
    mask[top : top + tall, left : left + wide] = True
    return rle.encode(mask)


def test_shares_and_lower_edges_agree_with_pixels() -> None:
    rng = np.random.default_rng(3)
    masks = rng.random((6, *SIZE)) < 0.3
    masks[:, :20] = masks[:, 90:] = False
    masks[0] = False
    masks[0, 30, 40] = True
    grounds = rng.random((3, *SIZE)) < 0.5
    texts, regions = ([rle.encode(one) for one in many] for many in (masks, grounds))
    shares = rle.shares_inside(texts, regions, SIZE)
    wanted = [[(m & g).sum() / m.sum() for g in grounds] for m in masks]
    assert np.allclose(shares, wanted)
    for mask, edge in zip(masks, rle.lower_edges(texts, SIZE, share=0.1), strict=True):
        rows = np.flatnonzero(mask.any(1))
        tall = rows[-1] - rows[0] + 1
        mask[: rows[-1] + 1 - -(-tall // 10)] = False
        assert (rle.decode(edge, *SIZE) == mask).all()
    assert rle.shares_inside([], regions, SIZE).shape == (0, 3)
    assert rle.lower_edges([], SIZE, share=0.1) == []
    assert rle.shares_inside([rle.encode(np.zeros(SIZE, bool))], regions, SIZE).sum() == 0


def test_a_zone_is_drawn_with_holes_and_parts_in_the_size_of_the_frame() -> None:
    hole = box(0.2, 0.2, 0.4, 0.4)[0]
    zone = Zone("z", ((box(0, 0, 0.5, 0.5)[0], hole), box(0.25, 0.25, 0.3, 0.9)))
    for height, width in (SIZE, (50, 60)):
        wanted = np.zeros((height, width), bool)
        wanted[: height // 2, : width // 2] = True
        wanted[height // 5 : 2 * height // 5, width // 5 : 2 * width // 5] = False
        wanted[round(0.25 * height) : round(0.9 * height), width // 4 : 3 * width // 10] = True
        drawn = rle.decode(region(zone, (height, width)), height, width)
        assert (drawn != wanted).sum() <= width // 20 + 1  # 12.5 rows


def test_a_mask_stands_where_its_lower_edge_is() -> None:
    lower, upper = Zone("lower", (box(0, 0.5, 1, 1),)), Zone("upper", (box(0, 0, 1, 0.5),))
    half = Zone("half", (box(0, 0, 1, 0.5),), measure="area")
    standing = ZonePass(zones(lower, upper, half, Zone("line", line=((0, 0), (1, 1)))))
    tall, above = text(10, 50, 60, 20), text(10, 50, 30, 20)
    assert standing.places("a.jpg", ".", SIZE, [tall, above]) == [
        ("lower", "half"),  # 40 of its 60 rows are in the upper half
        ("upper", "half"),
    ]
    assert standing.places("a.jpg", ".", SIZE, []) == []


def test_the_share_is_a_threshold() -> None:
    left = Zone("left", (box(0, 0, 0.5, 1),))
    most = Zone("most", (box(0, 0, 0.5, 1),), share=0.75)
    standing = ZonePass(zones(left, most))
    found = standing.places("a.jpg", ".", SIZE, [text(10, x, 10, 20) for x in (91, 90, 85, 84)])
    assert found == [(), ("left",), ("left", "most"), ("left", "most")]


@pytest.mark.parametrize(
    ("uses", "wanted"),
    [
        (("label", "label"), [("a",), ("b",), ()]),
        (("keep", "label"), [("a",), None, None]),
        (("keep", "keep"), [("a",), ("b",), None]),
        (("drop", "label"), [None, ("b",), ()]),
        (("drop", "keep"), [None, ("b",), None]),
    ],
)
def test_keep_and_drop(uses, wanted) -> None:
    first = Zone("a", (box(0, 0, 0.3, 1),), use=uses[0])
    second = Zone("b", (box(0.3, 0, 0.6, 1),), use=uses[1])
    standing = ZonePass(zones(first, second))
    texts = [text(10, x, 20, 20) for x in (10, 80, 160)]
    assert standing.places("a.jpg", ".", SIZE, texts) == wanted


def test_records_and_images_of_the_cameras_of_a_zone() -> None:
    standing = ZonePass(zones(Zone("a", (box(0, 0, 0.3, 1),), camera="cam1", use="drop")))
    texts = [text(10, x, 20, 20) for x in (10, 80)]
    segments = [Segment(0, 0.5, (0, 0, 1, 1), 400, one) for one in texts]
    record = standing.record(Record(Sample("cam1/a.jpg", ""), *SIZE, segments))
    assert [(s.rle, s.zones) for s in record.segments] == [(texts[1], ())]
    record = standing.record(Record(Sample("cam2/a.jpg", ""), *SIZE, segments))
    assert [s.zones for s in record.segments] == [(), ()]
    stated = Sample("cam2/a.jpg", "", carried={"camera": "cam1"})
    assert len(standing.record(Record(stated, *SIZE, segments)).segments) == 1
    failed = Record(stated, None, None, (), "gone")
    assert standing.record(failed) is failed

    masks = tuple(Mask(1, "car", 0.5, (0, 0, 1, 1), 400, one) for one in texts)
    assert len(standing.image(ImageMasks("cam1/a.jpg", *SIZE, masks=masks)).masks) == 1
    damaged = (Mask(1, "car", 0.5, (0, 0, 1, 1), 400, b"x"),)
    with pytest.raises(UsageError):
        standing.image(ImageMasks("cam1/a.jpg", *SIZE, masks=damaged))


def test_zones_are_drawn_once_for_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(
        "segcli.zones.standing.region", lambda zone, size: drawn.append(size) or region(zone, size)
    )
    standing = ZonePass(zones(Zone("a", (box(0, 0, 0.3, 1),)), Zone("b", (box(0, 0, 1, 1),))))
    for _ in range(3):
        standing.places("a.jpg", ".", SIZE, [text(0, 0, 9, 9)])
    assert drawn == [SIZE, SIZE]
