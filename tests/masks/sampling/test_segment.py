from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from segcli.masks import rle
from segcli.masks.sampling import segment as module
from segcli.masks.sampling import segments, segments_of_batch
from segcli.types import Instances


def instances(fields, extents, **more):
    n = len(fields)
    given = {"scores": torch.linspace(0.9, 0.1, n), "labels": torch.arange(n), "boxes": extents}
    return Instances(**(given | {"fields": fields, "extents": extents} | more))


def two():
    """Two of 2 x 2 px, at (1, 1) and at (4, 3), canvas px; one cell for each pixel."""
    return torch.ones(2, 2, 2), torch.tensor([[1.0, 1.0, 3.0, 3.0], [4.0, 3.0, 6.0, 5.0]])


def test_what_a_segment_says():
    first, second = segments(instances(*two()), content_size=(6, 9), image_size=(6, 9))
    assert (first.label, first.box, first.area) == (0, (1, 1, 2, 2), 4)
    assert first.score == pytest.approx(0.9)
    mask = rle.decode(second.rle, 6, 9)
    assert mask[3:5, 4:6].all()
    assert (second.area, mask.sum(), second.box) == (4, 4, (4, 3, 2, 2))
    assert type(first.score) is type(first.box[0]) is float
    assert type(first.area) is type(first.label) is int


def test_each_axis_has_its_own_ratio():
    first, second = segments(instances(*two()), content_size=(6, 18), image_size=(12, 9))
    assert first.box == (0.5, 2, 1, 4)
    assert (second.box, second.area) == ((2, 6, 1, 4), 4)
    assert rle.decode(second.rle, 12, 9)[6:10, 2].all()


def test_best_first_and_stable():
    fields, extents = two()
    fields, extents = fields.repeat(2, 1, 1), extents.repeat(2, 1)
    scores = torch.tensor([0.3, 0.8, 0.3, 0.9])
    found = segments(
        instances(fields, extents, scores=scores), content_size=(6, 9), image_size=(6, 9)
    )
    assert [segment.label for segment in found] == [3, 1, 0, 2]


def test_mask_scores_do_not_change_the_order():
    more = {"scores": torch.tensor([0.75, 0.5]), "mask_scores": torch.tensor([0.25, 0.375])}
    found = segments(instances(*two(), **more), content_size=(6, 9), image_size=(6, 9))
    assert [(one.label, one.score, one.mask_score) for one in found] == [
        (0, 0.75, 0.25),
        (1, 0.5, 0.375),
    ]


def test_keypoints_are_converted_to_px_of_the_original():
    fields, extents = two()
    fields[0] = 0.0  # an empty mask, which is dropped with its keypoints
    points = torch.tensor([[[1.0, 1.0, 0.5]], [[5.0, 4.0, 0.25]]])
    given = instances(fields, extents, keypoints=points)
    (only,) = segments(given, content_size=(6, 18), image_size=(12, 9))
    assert only.keypoints == ((2.5, 8.0, 0.25),)


def test_empty_masks_are_dropped():
    fields, extents = two()
    fields[0] = 0.0
    found = segments(instances(fields, extents), content_size=(6, 9), image_size=(6, 9))
    assert [segment.label for segment in found] == [1]


def test_boxes_are_clipped_to_the_image():
    fields, extents = torch.ones(1, 4, 4), torch.tensor([[-3.0, 2.0, 12.0, 99.0]])
    (only,) = segments(instances(fields, extents), content_size=(6, 9), image_size=(6, 9))
    assert only.box == (0, 2, 9, 4)


def test_without_boxes_they_are_the_masks():
    found = segments(instances(*two(), boxes=None), content_size=(6, 9), image_size=(6, 9))
    assert [segment.box for segment in found] == [(1, 1, 2, 2), (4, 3, 2, 2)]


def test_half_precision_and_gradients_and_views():
    fields, extents = two()
    views = torch.ones(2, 3, 4, dtype=torch.float16)[:, ::2, ::2].requires_grad_()
    given = instances(fields, extents)
    from_views = instances(views, extents)
    sizes = {"content_size": (6, 9), "image_size": (6, 9)}
    assert segments(from_views, **sizes) == segments(given, **sizes)


def masks_of(found, n, size):
    masks = torch.zeros(n, *size, dtype=torch.bool)
    for segment in found:
        masks[segment.label] = torch.from_numpy(rle.decode(segment.rle, *size).copy())
    return masks


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("grid", "size"), [((34, 34), (97, 160)), ((60, 90), (41, 65)), ((60, 90), (120, 180))]
)
def test_like_torch_interpolate(grid, size, strict):
    """A content-sized field: one bilinear resize of the whole frame, align_corners=False."""
    torch.manual_seed(0)
    coarse = torch.rand(6, 1, 7, 9)
    fields = functional.interpolate(coarse, size=grid, mode="bicubic")[:, 0].clamp(0, 1)
    extents = torch.tensor([[0.0, 0.0, 75.0, 50.0]]).repeat(6, 1)
    given = instances(fields, extents, boxes=None, strict=strict, outside="clamp")
    ours = masks_of(segments(given, content_size=(50, 75), image_size=size), 6, size)
    for dtype, rounding in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        soft = functional.interpolate(fields[:, None].to(dtype), size=size, mode="bilinear")[:, 0]
        sure = (soft - 0.5).abs() > rounding
        assert (ours == (soft > 0.5))[sure].all()
        assert sure.float().mean() > 0.999
    assert 0.2 < ours.float().mean() < 0.8


@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_like_torch_grid_sample(threshold):
    """A field over its box: zero padding, so that a low threshold reaches beyond the box."""
    torch.manual_seed(1)
    fields = torch.rand(8, 28, 28)
    corner = torch.rand(8, 2) * 90 - 20
    extents = torch.cat((corner, corner + torch.rand(8, 2) * 80 + 1), 1)
    size = (71, 93)
    given = instances(fields, extents, threshold=threshold)
    ours = masks_of(segments(given, content_size=size, image_size=size), 8, size)
    y, x = torch.meshgrid(
        torch.arange(71, dtype=torch.float64) + 0.5,
        torch.arange(93, dtype=torch.float64) + 0.5,
        indexing="ij",
    )
    for index in range(8):
        x0, y0, x1, y1 = extents[index].double()
        where = torch.stack(((x - x0) / (x1 - x0) * 2 - 1, (y - y0) / (y1 - y0) * 2 - 1), -1)
        soft = functional.grid_sample(
            fields[index].double()[None, None], where[None], align_corners=False
        )[0, 0]
        sure = (soft - threshold).abs() > 1e-12
        assert (ours[index] == (soft >= threshold))[sure].all()
        assert sure.all()


def random_instances(count, seed, **more):
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=random) * 60
    extents = torch.cat((corner, corner + torch.rand(count, 2, generator=random) * 40 - 2), 1)
    return instances(torch.rand(count, 9, 9, generator=random), extents, **more)


@pytest.mark.parametrize("most", [1 << 21, 1500])
def test_a_batch_is_converted_as_its_images_are(most, monkeypatch):
    limits = module.limits_of(torch.device("cpu"))
    monkeypatch.setattr(module, "limits_of", lambda device: replace(limits, cells=most))
    points = torch.rand(7, 17, 3)
    found = [
        random_instances(7, 0),
        random_instances(0, 1),
        random_instances(12, 2),
        random_instances(7, 3, boxes=None),
        random_instances(5, 4),
        random_instances(7, 5, keypoints=points, mask_scores=torch.rand(7)),
        random_instances(3, 6, strict=True, outside="clamp"),
        random_instances(6, 7),
    ]
    contents = [(80, 100)] * 7 + [(100, 80)]
    sizes = [(160, 300)] * 4 + [(77, 99)] + [(160, 300)] * 3
    alone = [
        segments(one, content_size=content, image_size=size)
        for one, content, size in zip(found, contents, sizes, strict=True)
    ]
    assert segments_of_batch(found, contents, sizes) == alone
    assert [bool(one) for one in alone] == [True, False, *[True] * 6]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same():
    torch.manual_seed(2)
    corner = torch.rand(50, 2) * 300
    extents = torch.cat((corner, corner + torch.rand(50, 2) * 200 + 1), 1)
    given = instances(torch.rand(50, 28, 28), extents)
    moved = instances(
        given.fields.cuda(), extents.cuda(), scores=given.scores.cuda(), labels=given.labels.cuda()
    )
    sizes = {"content_size": (400, 500), "image_size": (1080, 1920)}
    assert segments(moved, **sizes) == segments(given, **sizes)
