"""PEP's excavating: windows, key pixels, mined descriptors, and what they learn."""

import pytest
import torch
from pep_toy import descriptors, levels

from segcli_pep.excavate import Excavate, Keys, centre_of, cut_out
from segcli_pep.losses import centre_loss
from segcli_pep.targets import Sampling, Truth, centre_targets, taught_keys
from segcli_pep.variants import ranges_for


def excavate(**options) -> Excavate:
    torch.manual_seed(0)
    return Excavate(4, 3, hidden=8, window=5, **options)


def test_windows_are_cut_from_the_originals_own_level() -> None:
    maps = [torch.arange(64.0).view(1, 1, 8, 8), *levels(1)[1:]]
    maps[1][0, 0, 3, 3] = 7
    cut = cut_out(maps, descriptors([(0, 2, 3), (1, 3, 3), (0, 0, 7)]), 3)
    assert cut[0, 0].tolist() == [[10, 11, 12], [18, 19, 20], [26, 27, 28]]
    assert cut[1, 0].tolist() == [[0, 0, 0], [0, 7, 0], [0, 0, 0]]
    assert cut[2, 0].tolist() == [[0, 0, 0], [6, 7, 0], [14, 15, 0]]


def test_centre_maps_depend_on_the_original() -> None:
    part, maps = excavate(), [torch.randn(1, 4, 8, 8), *levels(4)[1:]]
    same_place = descriptors([(0, 2, 3), (0, 2, 3)])
    logits = part.centres(maps, same_place)
    assert logits.shape == (2, 5, 5)
    assert not torch.allclose(logits[0], logits[1])
    assert logits.sigmoid().mean() < 0.05, "at first no pixel is a centre"
    assert part.centres(maps, descriptors([])).shape == (0, 5, 5)


def test_key_pixels_are_peaks_beside_the_original_and_within_the_content() -> None:
    logits = torch.full((2, 5, 5), -9.0)
    logits[0, 2, 2] = 9  # the original itself
    logits[0, 0, 0], logits[0, 0, 1] = 4, 3  # a peak and its slope
    logits[0, 4, 4] = 2
    logits[1, 0, 2] = 5  # above the map
    logits[1, 4, 2] = 1  # below the content
    found = descriptors([(0, 3, 3), (0, 0, 4)])
    keys = excavate().key_pixels(logits, found, (64, 64), above=0.5, most=5)
    assert keys.owner.tolist() == [0, 0, 1]
    assert keys.row.tolist() == [1, 5, 2]
    assert keys.column.tolist() == [1, 5, 4]
    assert keys.scores.tolist() == pytest.approx(torch.tensor([4.0, 2, 1]).sigmoid().tolist())
    assert len(excavate().key_pixels(logits, found, (64, 64), above=0.5, most=1).row) == 1
    assert len(excavate().key_pixels(logits, found, (16, 64), above=0.5, most=5).row) == 1


def keys(*triples) -> Keys:
    owner, row, column = torch.tensor(triples).T
    return Keys(owner, row, column, torch.ones(len(owner)))


def test_a_copy_knows_its_original_and_where_it_is() -> None:
    part, maps = excavate(), [torch.randn(1, 4, 8, 8), *levels(4)[1:]]
    found = descriptors([(0, 2, 3), (0, 6, 6)])
    vectors, classes = part.mined(maps, found, keys((0, 1, 1), (0, 1, 2), (1, 1, 1), (0, 1, 1)))
    assert vectors.shape == (4, 4)
    assert classes.shape == (4, 4)  # background and three categories
    assert torch.equal(vectors[0], vectors[3])
    assert not torch.allclose(vectors[0], vectors[1])
    assert not torch.allclose(vectors[0], vectors[2])
    other = [torch.randn(1, 4, 8, 8), *maps[1:]]
    again, _ = part.mined(other, found, keys((0, 1, 1)))
    torch.testing.assert_close(again[0], vectors[0])


def test_a_copy_that_sees_reads_its_key_pixel() -> None:
    part, maps = excavate(sees=True), levels(4)
    found = descriptors([(1, 2, 3)])
    before, _ = part.mined(maps, found, keys((0, 1, 1), (0, 2, 1)))
    maps[1][0, :, 1, 1] = torch.arange(4.0)  # not all the same: a constant is read as nothing
    after, _ = part.mined(maps, found, keys((0, 1, 1), (0, 2, 1)))
    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[1], after[1])


def truth(*centres) -> Truth:
    n = len(centres)
    nothing = torch.zeros(0, dtype=torch.int64)
    return Truth(
        labels=torch.arange(n),
        masks=torch.zeros(n, 16, 16, dtype=torch.bool),
        centres=torch.tensor(centres, dtype=torch.float32).reshape(n, 2),
        classes=nothing,
        owner=nothing,
        home=nothing,
    )


def test_the_cell_of_a_point_is_that_of_its_level() -> None:
    row, column = centre_of(torch.tensor([[17.0, 9], [17, 9]]), torch.tensor([0, 1]))
    assert row.tolist() == [1, 0]
    assert column.tolist() == [2, 1]


def test_centre_targets_are_the_other_objects_near() -> None:
    found = descriptors([(0, 3, 3), (0, 0, 0), (1, 1, 1)])
    own = torch.tensor([0, -1, 0])
    wanted, i, t = centre_targets(found, own, truth((28, 28), (44, 20), (60, 60)), 5)
    # Original 0 is itself object 0; object 1 is at row 2, column 5; object 2 is too far.
    assert wanted[0].nonzero().tolist() == [[1, 4]]
    assert wanted[1].sum() == 0
    # On level 1 object 1 is at row 1, column 2, and object 2 at row 3, column 3.
    assert wanted[2].nonzero().tolist() == [[2, 3], [4, 4]]
    assert sorted(zip(i.tolist(), t.tolist(), strict=True)) == [(0, 1), (2, 1), (2, 2)]
    assert (i[0].item(), t[0].item()) == (2, 1), "the nearest first"


def test_no_target_makes_no_centre() -> None:
    wanted, i, _ = centre_targets(descriptors([(0, 1, 1)]), torch.tensor([-1]), truth(), 5)
    assert wanted.sum() == len(i) == 0
    assert centre_loss(torch.zeros(1, 5, 5), wanted).isfinite()


def test_keys_of_training_are_true_centres_and_the_surest_errors() -> None:
    found = descriptors([(0, 3, 3), (0, 4, 4)])
    logits = torch.zeros(2, 5, 5)
    logits[0, 1, 4] = 9  # the true centre of object 1
    logits[0, 0, 0] = 4  # an error
    sampling = Sampling(ranges_for(320), keys=1, false_keys=1)
    made, target = taught_keys(
        logits, found, torch.tensor([0, 0]), truth((28, 28), (44, 20), (44, 44)), sampling
    )
    assert target.tolist() == [2, 1, -1]  # one of each original, the nearest first, and the error
    assert made.owner.tolist() == [1, 0, 0]
    assert made.row.tolist() == [5, 2, 1]
    assert made.column.tolist() == [5, 5, 1]
