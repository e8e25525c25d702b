"""Right, wrong and missed."""

import json

import numpy as np
import pytest

from segcli.errors import UsageError
from segcli.viz.painter import side_by_side
from segcli.viz.palette import FALSE, MISSED, TRUE
from segcli.viz.patch import patch_of
from segcli.viz.truth import judged, overlap, read_truth, verdicts

SIZE = (120, 160)


def verdicts_of(items):
    return [(item.mask.category, item.verdict) for item in items]


def test_overlap_is_intersection_over_union(painted):
    # 40 x 50 px each, moved by 10: 30 x 50 shared, 50 x 50 together.
    one, other = (
        patch_of(painted.mask(painted.block(y, 20, 40, 50)).rle, SIZE, SIZE) for y in (10, 20)
    )
    assert overlap(one, other) == pytest.approx(30 / 50)
    far = patch_of(painted.mask(painted.block(100, 100, 10, 10)).rle, SIZE, SIZE)
    assert overlap(one, far) == 0


def test_the_better_of_two_takes_the_object(painted):
    truth = [painted.mask(painted.block(10, 20, 40, 50), score=None)]
    found = [
        painted.mask(painted.block(10, 20, 40, 48), score=0.6),
        painted.mask(painted.block(14, 20, 36, 50), score=0.9),
    ]
    assert [(i.mask.score, i.verdict) for i in judged(found, truth, [], SIZE)] == [
        (0.9, "true"),
        (0.6, "false"),
    ]


def test_another_category_is_wrong_and_the_object_missed(painted):
    shape = painted.block(10, 20, 40, 50)
    found, truth = [painted.mask(shape, 6, "bus")], [painted.mask(shape, score=None)]
    assert verdicts_of(judged(found, truth, [], SIZE)) == [("bus", "false"), ("car", "missed")]


def test_what_lies_in_a_crowd_is_neither(painted):
    crowd = [painted.mask(painted.block(0, 0, 100, 100), score=None)]
    found = [painted.mask(painted.block(10, 20, 40, 50))]
    assert judged(found, [], crowd, SIZE) == []
    outside = [painted.mask(painted.block(90, 90, 20, 40))]
    assert verdicts_of(judged(outside, [], crowd, SIZE)) == [("car", "false")]


def test_the_truth_has_the_colours_of_what_was_found(painted):
    """Blue where it was found, yellow where it was missed, whatever its category."""
    truth = [painted.mask(painted.block(y, 20, 30, 50), score=None) for y in (10, 70)]
    found = [painted.mask(painted.block(10, 20, 30, 50), score=0.6)]
    shown = verdicts(truth, judged(found, truth, [], SIZE))
    assert [item.verdict for item in shown] == ["true", "missed"]
    assert [item.colour for item in shown] == [TRUE, MISSED]
    assert [item.text for item in shown] == ["car", "missed car"]


def test_the_legend_is_above_both_pictures():
    black = np.zeros((60, 160, 3), np.uint8)
    page = side_by_side(black, black, headings=True)
    head = page[: page.shape[0] - 60].reshape(-1, 3)
    for colour in (TRUE, FALSE, MISSED):
        assert (head == colour).all(axis=1).sum() > 20
    assert side_by_side(black, black, headings=False).shape[0] == 60


@pytest.fixture
def annotations(tmp_path):
    path = tmp_path / "ann.json"
    content = {
        "images": [{"id": 1, "file_name": "sub/one.png", "height": 120, "width": 160}],
        "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "person"}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 3, "segmentation": [[0, 0, 9, 0, 9, 9, 0, 9]]},
            {
                "id": 6,
                "image_id": 1,
                "category_id": 1,
                "iscrowd": 1,
                "segmentation": {"size": [120, 160], "counts": [0, 120, 120 * 159]},
            },
        ],
    }
    path.write_text(json.dumps(content))
    return path


def test_annotations_are_found_by_path_or_unique_name(annotations, write, make_record, tmp_path):
    for key in ("sub/one.png", "elsewhere/one.png"):
        records = [make_record(key, tmp_path), make_record("two.png", tmp_path)]
        masks = write(records, tmp_path, f"{key[0]}.parquet")
        truth = read_truth(annotations, masks)
        objects, crowds = truth.objects(key, SIZE)
        assert [o.category for o in objects] == ["car"]
        assert [c.category for c in crowds] == ["person"]
        assert truth.objects("two.png", SIZE) is None


def test_two_rows_of_one_file_name_are_no_pair_as_in_eval(
    annotations, write, make_record, tmp_path
):
    records = [make_record("a/one.png", tmp_path), make_record("b/one.png", tmp_path)]
    truth = read_truth(annotations, write(records, tmp_path))
    assert truth.objects("a/one.png", SIZE) is truth.objects("b/one.png", SIZE) is None


def test_categories_that_eval_did_not_count_are_not_missed(
    annotations, write, make_record, tmp_path
):
    masks = write([make_record("sub/one.png", tmp_path)], tmp_path)
    content = json.loads(annotations.read_text())
    content["categories"] = [{"id": 3, "name": "Car"}, {"id": 1, "name": "tree"}]
    content["annotations"][1]["iscrowd"] = 0
    annotations.write_text(json.dumps(content))
    objects, _ = read_truth(annotations, masks).objects("sub/one.png", SIZE)
    assert [o.category for o in objects] == ["car"], "the name in the output; a tree is unknown"
    objects, _ = read_truth(annotations, masks, counted=("tree",)).objects("sub/one.png", SIZE)
    assert [o.category for o in objects] == ["tree"]


def test_only_some_categories(annotations, write, make_record, tmp_path):
    masks = write([make_record("sub/one.png", tmp_path)], tmp_path)
    truth = read_truth(annotations, masks, only=("person",))
    objects, crowds = truth.objects("sub/one.png", SIZE)
    assert (len(objects), len(crowds)) == (0, 1)


def test_an_image_of_another_size_is_refused(annotations, write, make_record, tmp_path):
    truth = read_truth(annotations, write([make_record("sub/one.png", tmp_path)], tmp_path))
    with pytest.raises(UsageError, match="120 x 160 px there, and 60 x 80 px"):
        truth.objects("sub/one.png", (60, 80))


@pytest.mark.parametrize("content", ["", "[]", '{"images": 3}', '{"images": [{}]}', "\x00"])
def test_what_is_not_coco_json_is_an_error(tmp_path, content):
    path = tmp_path / "ann.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"ann\.json"):
        read_truth(path, tmp_path / "masks.parquet")


def test_drawn_over_and_beside(archive, annotations, tmp_path):
    from PIL import Image

    from segcli.viz import VizOptions, visualise

    masks, _ = archive()
    drawn = visualise(
        VizOptions(masks=masks, out=tmp_path / "out", gt=annotations, beside=True, format="png"),
        report=lambda _: None,
    )
    assert drawn.pictures == 1
    assert {reason for _, reason in drawn.skipped} == {"--gt has no image of that path or name"}
    with Image.open(tmp_path / "out/sub/one.png") as picture:
        assert picture.width > 320
        left = np.asarray(picture)[:, :160]
    assert (left == (0xFF, 0x66, 0x00)).all(axis=-1).any()  # the found car is wrong
    assert (left == (0xFF, 0xE0, 0x33)).all(axis=-1).any()  # the true one missed
