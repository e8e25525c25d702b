"""Each image of an output with its masks, as viz, report and export read it."""

import pytest

from segcli.store import MinScores
from segcli.store.image_masks import read_image_masks

ALL = MinScores(0.0)


@pytest.fixture
def path(output, record):
    with output() as out:
        out.commit([record("cam1/a#1.png", 3), record("cam1/b.png", 0)])
        out.commit([record("c.png", error="bad"), record("cam2/d.png", 2)])
        return out.path


def scores_of(path, cut=ALL, **wanted):
    images = read_image_masks(path, min_score=cut, **wanted)
    return {image.key: [mask.score for mask in image.masks] for image in images}


def test_images_without_masks_are_there_and_failed_ones_are_not(path):
    found = {image.key: image for image in read_image_masks(path, min_score=ALL)}
    assert set(found) == {"cam1/a#1.png", "cam1/b.png", "cam2/d.png"}
    image = found["cam1/a#1.png"]
    assert (image.size, image.name, image.frame) == ((48, 64), "cam1/a#1.png", None)
    assert [(m.category, m.category_id, m.box, m.area, m.rle) for m in image.masks] == [
        ("person", 1, (1.0, 2.0, 3.0, 4.0), 5, b"rle0"),
        ("car", 3, (1.0, 2.0, 4.0, 4.0), 6, b"rle1"),
        ("person", 1, (1.0, 2.0, 5.0, 4.0), 7, b"rle2"),
    ]


def test_only_the_masks_that_count_come_and_every_image(path):
    assert scores_of(path, MinScores(0.85)) == {
        "cam1/a#1.png": [0.9], "cam1/b.png": [], "cam2/d.png": [0.9],
    }  # fmt: skip
    of_class = MinScores(0.95, {"car": 0.8})
    assert scores_of(path, of_class, keys=frozenset({"cam1/a#1.png", "cam1/b.png"})) == {
        "cam1/a#1.png": [0.8],
        "cam1/b.png": [],
    }
    cars = scores_of(path, categories=frozenset({"car"}))
    assert cars == {"cam1/a#1.png": [0.8], "cam1/b.png": [], "cam2/d.png": [0.8]}
