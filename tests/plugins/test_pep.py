"""PEP's perceiving and masks, its switches, its beginnings from ImageNet, and that it learns."""

from dataclasses import replace

import pytest
import torch
import torchvision
from overfitting import learn, two_images
from pep_toy import levels, toy

from segcli.errors import UsageError
from segcli.types import Batch, Targets
from segcli_pep import FAMILY
from segcli_pep.masks import GeneralFeature, maskness, windows
from segcli_pep.perceive import Perceive, Perceived, originals, places


def alarms(*places_and_classes) -> Perceived:
    """Three categories; background everywhere but at (level, row, column, label, logit)."""
    logits, vectors = levels(4), levels(2)
    for level in logits:
        level[:, 0] = 5
    for level, row, column, label, logit in places_and_classes:
        logits[level][0, 1 + label, row, column] = logit
        vectors[level][0, :, row, column] = torch.tensor([row + 1.0, column])
    return Perceived(logits, vectors)


def test_perceiving_gives_classes_and_descriptors_of_every_level() -> None:
    found = Perceive(8, 3, width=64, depth=2)([torch.randn(2, 8, n, n) for n in (4, 2)])
    assert [x.shape for x in found.logits] == [(2, 4, 4, 4), (2, 4, 2, 2)]
    assert [x.shape for x in found.vectors] == [(2, 64, 4, 4), (2, 64, 2, 2)]
    assert found.logits[0].softmax(1)[:, 0].mean() > 0.7, "at first nothing is anywhere"


def test_places_go_level_by_level_and_row_by_row() -> None:
    level, row, column = places([torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 1, 2)])
    assert level.tolist() == [0] * 6 + [1] * 2
    assert row.tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert column.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_originals_are_peaks_of_confidence_best_first() -> None:
    perceived = alarms((0, 1, 1, 0, 8), (0, 1, 2, 1, 9), (0, 5, 5, 2, 7), (1, 2, 3, 0, 10))
    found = originals(perceived, (64, 64), above=0.3, most=9)
    assert found.level.tolist() == [1, 0, 0]
    assert found.row.tolist() == [2, 1, 5]
    assert found.column.tolist() == [3, 2, 5]
    assert found.labels.tolist() == [0, 1, 2]
    assert found.vectors.tolist() == [[3, 3], [2, 2], [6, 5]]
    assert found.scores[0] == pytest.approx(torch.tensor([5.0, 10, 0, 0]).softmax(0)[1].item())


def test_originals_keep_to_the_content_the_categories_and_the_number() -> None:
    perceived = alarms((0, 1, 1, 0, 8), (0, 1, 2, 1, 9), (0, 5, 5, 2, 7))
    assert originals(perceived, (40, 64), above=0.3, most=9).row.tolist() == [1]
    only = originals(perceived, (64, 64), above=0.3, most=9, categories=frozenset({0, 2}))
    assert only.labels.tolist() == [0, 2]
    assert len(originals(perceived, (64, 64), above=0.3, most=1)) == 1
    assert len(originals(perceived, (64, 64), above=0.3, most=9, categories=frozenset())) == 0
    assert len(originals(perceived, (64, 64), above=0.999, most=9)) == 0


def test_the_general_feature_has_stride_four_and_the_descriptors_width() -> None:
    general = GeneralFeature(8, 32, depth=1)
    assert general([torch.randn(2, 8, n, n) for n in (8, 4, 2)]).shape == (2, 32, 16, 16)


def test_maskness_is_the_mean_inside_the_content() -> None:
    logits = torch.full((1, 4, 4), -1.0)
    logits[0, 0, 0], logits[0, 1, 1], logits[0, 3, 3] = 3.0, 1.0, 9.0
    mean, area = maskness(logits, (12, 9))  # three rows and three columns of cells
    assert area.item() == 2
    assert mean.item() == pytest.approx(torch.tensor([3.0, 1.0]).sigmoid().mean().item())


def test_windows_hold_every_positive_cell_and_a_rim() -> None:
    torch.manual_seed(0)
    logits = -torch.rand(4, 8, 12)
    logits[0, 2:5, 3:6] = 1
    logits[1, 0, 0] = 1
    logits[2, 7, 11] = 1
    fields, extents = windows(logits)
    padded = torch.nn.functional.pad(logits[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    for field, whole, box in zip(fields, padded, (extents / 4).long().tolist(), strict=True):
        x, y, x2, y2 = (place + 1 for place in box)
        held = whole[y:y2, x:x2]
        assert torch.equal(field[: held.shape[0], : held.shape[1]], held)
        outside = whole.clone()
        outside[y + (y > 0) : y2 - 1, x + (x > 0) : x2 - 1] = -1
        assert (outside[1:-1, 1:-1] < 0).all(), "what is left out, and the rim, is no mask"
    assert windows(logits[:0])[1].shape == (0, 4)


def two_squares() -> tuple[Batch, list[Targets]]:
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, 4:28, 4:28] = True
    masks[1, 20:50, 24:60] = True
    boxes = torch.tensor([[4.0, 4, 28, 28], [24, 20, 60, 50]])
    target = Targets(torch.tensor([0, 1]), boxes, masks, torch.zeros(2, dtype=torch.bool))
    pixels = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    return Batch(("a",), pixels, ((64, 64),), ((64, 64),)), [target]


@pytest.mark.parametrize(
    ("excavate", "purify", "names"),
    [
        (False, False, {"perceive", "mask"}),
        (True, False, {"perceive", "centre", "mined", "mask", "mined_mask"}),
        (False, True, {"perceive", "adjacency", "mask"}),
    ],
)
def test_a_part_that_is_switched_off_is_not_there(excavate, purify, names) -> None:
    model = toy(2, excavate=excavate, purify=purify)
    assert (model.excavate is not None, model.purify is not None) == (excavate, purify)
    batch, targets = two_squares()
    assert model.losses(batch, targets).keys() == names
    model.eval()
    (found,) = model.predict(batch, min_score=0.0, max_masks=10)
    assert len(found.scores) > 0


def test_suppression_comes_back_after_purifying_when_asked_for() -> None:
    torch.manual_seed(0)
    model = toy(2).eval()
    batch, _ = two_squares()
    model.options = replace(model.options, linked=2.0)  # nothing is merged
    (plain,) = model.predict(batch, min_score=0.0, max_masks=50)
    model.options = replace(model.options, suppress_purified=True)
    (suppressed,) = model.predict(batch, min_score=0.0, max_masks=50)
    assert suppressed.scores.sum() < plain.scores.sum()


def test_bodies_from_imagenet_are_a_beginning() -> None:
    with torch.device("meta"):
        light = torchvision.models.mobilenet_v2(weights=None).state_dict()
        deep = torchvision.models.resnet101(weights=None).state_dict()
        expected = FAMILY.build(FAMILY.variants["r101-fpn"]).state_dict()
    begun = FAMILY.convert(deep, FAMILY.variants["r101-fpn"])
    assert {k for k in expected if k.startswith("backbone.body.")} == begun.keys()
    with torch.device("meta"):
        expected = FAMILY.build(FAMILY.variants["mobilenet"]).state_dict()
    begun = FAMILY.convert(light, FAMILY.variants["mobilenet"])
    assert {k: v.shape for k, v in begun.items()} == {
        k: v.shape for k, v in expected.items() if k.startswith("backbone.body.")
    }
    with pytest.raises(UsageError, match="backbone.body"):
        FAMILY.convert(deep, FAMILY.variants["r50-fpn"])


@pytest.mark.slow
def test_learns_two_images(data) -> None:
    torch.manual_seed(0)
    pair, names = two_images(data, 128)
    assert learn(toy(len(names)), pair, steps=200, rate=2e-3, every=15) == 1.0
