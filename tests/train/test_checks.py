"""What is refused before a training starts: sizes that differ, and data without an object."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from segcli.errors import UsageError
from segcli.train.augment import Augmentation, boxes_of, make_example
from segcli.train.checks import check_objects, check_sizes, check_validation
from segcli.train.data import DataSet, read_dataset
from segcli.train.sources import Validation

NAMES = ("disc", "box")


@pytest.fixture
def rows(dataset):
    return read_dataset(DataSet(*dataset), NAMES)


def test_sizes_that_agree_pass(rows) -> None:
    assert check_sizes(rows, rescale=False) == 0


def test_annotations_of_a_smaller_copy_are_refused_unless_they_may_be_stretched(rows) -> None:
    import numpy as np

    halved = [
        replace(annotation, outline=[[v / 2 for v in p] for p in annotation.outline])
        for annotation in rows[0].annotations
    ]
    small = replace(rows[0], size=(40, 48), annotations=tuple(halved))
    with pytest.raises(UsageError, match=r"0\.png is 96 x 80 px, .* for 48 x 40; with --rescale"):
        check_sizes([*rows[1:], small], rescale=False)
    assert check_sizes([*rows, small], rescale=True) == 1

    def boxes(row):
        rng = np.random.default_rng(0)
        example = make_example(row, (80, 96), rng, augmentation=Augmentation.none())
        return boxes_of(example.masks).tolist()

    assert boxes(small) == boxes(rows[0])


@pytest.mark.parametrize("rescale", [False, True])
def test_annotations_of_a_picture_as_stored_are_refused_where_exif_turns_it(rows, rescale) -> None:
    path = rows[0].path.with_suffix(".jpg")
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new("RGB", (96, 80)).save(path, exif=exif)
    with pytest.raises(UsageError, match="its EXIF orientation rotates it"):
        check_sizes([replace(rows[0], path=path)], rescale=rescale)
    assert check_sizes([replace(rows[0], path=path, size=(96, 80))], rescale=rescale) == 0


def test_what_is_no_picture_is_named(rows) -> None:
    rows[0].path.write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"0\.png cannot be trained on"):
        check_sizes(rows, rescale=False)


def test_data_without_an_object_is_refused(rows) -> None:
    crowds = [
        replace(row, annotations=tuple(replace(a, crowd=True) for a in row.annotations))
        for row in rows
    ]
    reason = r"no object of disc, box to train on in 4 images; 8 are regions to ignore \(iscrowd\)"
    with pytest.raises(UsageError, match=reason):
        check_objects(crowds, NAMES)
    with pytest.raises(UsageError, match="no object of .* to train on in 4 images"):
        check_objects([replace(row, annotations=()) for row in rows], NAMES)
    with pytest.raises(UsageError, match="have no image"):
        check_objects([], NAMES)


def test_validation_data_is_looked_at_before_the_training(dataset) -> None:
    images, annotations = dataset
    check_validation(Validation("val", images, annotations), NAMES)
    with pytest.raises(UsageError, match="annotates none of star"):
        check_validation(Validation("val", images, annotations), ("star",))
    with pytest.raises(UsageError, match="annotates none of"):
        check_validation(Validation("val", images, annotations, frozenset({"star"})), NAMES)
    content = json.loads(annotations.read_text())
    outline = content["annotations"][0].pop("segmentation")
    annotations.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r"image 0\.png, annotation 1 has no mask"):
        check_validation(Validation("val", images, annotations), NAMES)
    content["annotations"][0]["segmentation"] = outline
    annotations.write_text(json.dumps(content))
    (images / "1.png").unlink()
    with pytest.raises(UsageError, match=r"1\.png, which does not exist"):
        check_validation(Validation("val", images, annotations), NAMES)


def test_categories_without_an_object_are_told(rows) -> None:
    assert check_objects(rows, (*NAMES, "star")) == ["star"]
