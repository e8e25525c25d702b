from dataclasses import replace

import numpy as np
import pytest

from segcli.train.augment import Augmentation, boxes_of, make_example
from segcli.train.data import DataSet, read_dataset

CATEGORIES = ("disc", "box")


@pytest.fixture
def rows(dataset):
    return read_dataset(DataSet(*dataset), CATEGORIES)


def test_a_plain_example_is_the_picture_on_its_canvas(rows) -> None:
    example = make_example(
        rows[0], (160, 192), np.random.default_rng(0), augmentation=Augmentation.none()
    )
    assert example.content == (160, 192)
    assert example.labels.tolist() == [1, 0]
    box = example.pixels[example.masks[0]]  # twice the size: the box is red all over but its rim
    assert np.median(box, axis=0).tolist() == [220, 40, 40]
    assert example.masks[0].sum() == pytest.approx(4 * 720, rel=0.02)


def test_padding_is_zero_and_holds_no_mask(rows) -> None:
    small = Augmentation(flip=0, scale=(0.5, 0.5), colour=0.3, paste=0)
    example = make_example(rows[0], (96, 96), np.random.default_rng(0), augmentation=small)
    h, w = example.content
    assert (h, w) == (40, 48)
    assert not example.pixels[h:].any()
    assert not example.pixels[:, w:].any()
    assert not example.masks[:, h:].any()


def test_the_same_numbers_make_the_same_example(rows) -> None:
    def make(seed: int):
        rng = np.random.default_rng([seed, 3, 1])
        return make_example(rows[0], (96, 96), rng, augmentation=Augmentation(), donor=rows[1])

    assert np.array_equal(make(5).pixels, make(5).pixels)
    assert not np.array_equal(make(5).pixels, make(6).pixels)


def test_flipping_moves_pixels_and_masks_together(rows) -> None:
    def make(flip: float):
        rng = np.random.default_rng(0)
        how = Augmentation(flip=flip, scale=(1, 1), colour=0, paste=0)
        return make_example(rows[0], (80, 96), rng, augmentation=how)

    plain, flipped = make(0), make(1)
    assert np.array_equal(flipped.pixels, plain.pixels[:, ::-1])
    assert np.array_equal(flipped.masks, plain.masks[:, :, ::-1])


def test_an_object_with_a_box_alone_is_its_box_and_is_never_pasted(rows) -> None:
    boxed = replace(rows[0].annotations[0], outline=None, box=(10.0, 5.0, 24.0, 30.0))
    row = replace(rows[0], annotations=(boxed,))
    rng = np.random.default_rng(0)
    example = make_example(row, (160, 192), rng, augmentation=Augmentation.none())
    assert boxes_of(example.masks).tolist() == [[20, 10, 68, 70]]
    assert example.outlined.tolist() == [False]
    always = Augmentation(flip=0, scale=(1, 1), colour=0, paste=1)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        example = make_example(rows[1], (80, 96), rng, augmentation=always, donor=row)
        assert example.outlined.all()


def test_pasted_objects_cover_what_lies_below(rows) -> None:
    always = Augmentation(flip=0, scale=(1, 1), colour=0, paste=1)
    for seed in range(20):
        example = make_example(
            rows[0], (80, 96), np.random.default_rng(seed), augmentation=always, donor=rows[1]
        )
        if len(example.labels) > 2:
            break
    assert len(example.labels) > 2
    assert example.masks.sum(axis=0).max() == 1  # no pixel belongs to two objects


def test_only_annotated_categories_are_pasted(rows, dataset) -> None:
    partly = read_dataset(DataSet(*dataset, only=frozenset({"disc"})), CATEGORIES)
    always = Augmentation(flip=0, scale=(1, 1), colour=0, paste=1)
    pasted = [
        make_example(
            partly[0], (80, 96), np.random.default_rng(seed), augmentation=always, donor=rows[1]
        ).labels[2:].tolist()
        for seed in range(10)
    ]  # fmt: skip
    assert {label for labels in pasted for label in labels} == {CATEGORIES.index("disc")}


def test_boxes_are_tight() -> None:
    masks = np.zeros((1, 6, 8), dtype=bool)
    masks[0, 2:5, 3:7] = True
    assert boxes_of(masks).tolist() == [[3, 2, 7, 5]]
