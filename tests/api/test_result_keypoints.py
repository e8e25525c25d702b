"""Keypoints and mask scores of a result."""

import numpy as np

from segcli.api import Result
from segcli.masks import rle
from segcli.types import Image, ModelInfo, Resize, Segment
from segcli.viz.palette import colour_of

SIZE = (60, 80)


def result(keypoints: tuple[str, ...] | None) -> Result:
    """Two objects; the second has no score of its mask."""
    image = Image("a.png", np.full((*SIZE, 3), 90, np.uint8), SIZE)
    mask = np.zeros(SIZE, bool)
    mask[10:50, 10:70] = True
    points = None if keypoints is None else ((20.0, 20.0, 0.9), (50.0, 20.0, 0.5))
    box, text = (10.0, 10.0, 60.0, 40.0), rle.encode(mask)
    first = Segment(0, 0.9, box, 2400, text, mask_score=0.5, keypoints=points)
    second = Segment(0, 0.8, box, 2400, text, keypoints=points)
    skeleton = None if keypoints is None else ((0, 1),)
    info = ModelInfo(
        "f", "v", ("person",), (1,), Resize(60, 80), 1, keypoints=keypoints, skeleton=skeleton
    )
    return Result(image, (first, second), info)


def test_arrays() -> None:
    found = result(("head", "foot"))
    assert found.keypoints.tolist() == [[[20, 20, 0.9], [50, 20, 0.5]]] * 2
    assert found.mask_scores[0] == 0.5
    assert np.isnan(found.mask_scores[1])
    empty = Result(found.image, (), found.info)
    assert empty.keypoints.shape == (0, 2, 3)
    assert result(None).keypoints is None


def test_coco_annotations() -> None:
    first, second = result(("head", "foot")).to_coco()
    assert first["keypoints"] == [20.0, 20.0, 2, 50.0, 20.0, 2]
    assert (first["num_keypoints"], first["keypoint_scores"]) == (2, [0.9, 0.5])
    assert (first["mask_score"], "mask_score" in second) == (0.5, False)
    assert "keypoints" not in result(None).to_coco()[0]


def test_the_picture_has_the_skeleton() -> None:
    assert result(("head", "foot")).draw()[20, 35].tolist() == list(colour_of(1))
