"""What PEP learns of an image: cores, class maps, samples, and the losses on them."""

import pytest
import torch
from pep_toy import levels

from segcli.types import Targets
from segcli_pep.losses import mask_losses, perceive_loss
from segcli_pep.perceive import Perceived
from segcli_pep.targets import IGNORED, Sampling, at_level, cores_of, sample, truth_of
from segcli_pep.variants import ranges_for

SIZES = [(8, 8), (4, 4), (2, 2), (1, 1), (1, 1)]  # of a canvas of 64 px
SAMPLING = Sampling(ranges=((0, 40), (20, 99), (99, 100), (100, 101), (101, 102)), core=0.1)


def target(*squares, crowd=(), labels=None) -> Targets:
    """Squares (top, left, bottom, right) on 64 px."""
    masks = torch.zeros(len(squares), 64, 64, dtype=torch.bool)
    for mask, (top, left, bottom, right) in zip(masks, squares, strict=True):
        mask[top:bottom, left:right] = True
    return Targets(
        torch.tensor(labels or list(range(len(squares))), dtype=torch.int64),
        torch.zeros(len(squares), 4),
        masks,
        torch.tensor([i in crowd for i in range(len(squares))], dtype=torch.bool),
    )


def test_the_core_is_what_lies_deepest() -> None:
    masks = torch.zeros(3, 9, 9, dtype=torch.bool)
    masks[0, 1:8, 1:8] = True
    masks[1, 0, 0] = True
    cores = cores_of(masks, 0.15)  # 8 of 49 pixels: the innermost nine
    assert cores[0].nonzero().tolist() == [[r, c] for r in (3, 4, 5) for c in (3, 4, 5)]
    assert cores[1].nonzero().tolist() == [[0, 0]]
    assert not cores[2].any()
    assert torch.equal(cores_of(masks, 1.0), masks)


def test_levels_sample_the_middle_of_their_pixels() -> None:
    small = torch.zeros(1, 16, 16, dtype=torch.bool)
    small[0, 3, 5] = small[0, 6, 2] = small[0, 15, 15] = True
    assert at_level(small, 0, 8, 8)[0].nonzero().tolist() == [[1, 2], [7, 7]]
    assert at_level(small, 1, 4, 4)[0].nonzero().tolist() == [[1, 0]]
    assert at_level(small, 4, 1, 1).shape == (1, 1, 1)


def test_class_maps_teach_cores_and_ignore_rims() -> None:
    truth = truth_of(target((0, 0, 24, 24)), SIZES, SAMPLING)
    fine = truth.classes[:64].view(8, 8)
    assert fine[1, 1] == 1
    assert fine[0, 0] == fine[2, 2] == fine[0, 2] == IGNORED
    assert (fine[3:] == 0).all()
    assert truth.owner[:64].view(8, 8).nonzero().shape[0] == 63, "only the core has an owner"
    assert truth.home.tolist() == [9]  # its centre is px (11.5, 11.5) or so: row 1, column 1
    assert (truth.classes[64:80] == 1).sum() == 1, "a root of 24 px is of the second level too"
    assert (truth.classes[80:] == 0).all()


def test_the_smaller_object_wins_and_centres_are_always_taught() -> None:
    truth = truth_of(target((0, 0, 36, 36), (12, 12, 18, 18)), SIZES, SAMPLING)
    fine = truth.classes[:64].view(8, 8)
    assert fine[1, 1] == 2
    assert (fine == 1).any()
    assert truth.owner[truth.home].tolist() == [0, 1]


def test_a_centre_off_the_object_is_moved_onto_it() -> None:
    ring = target((0, 0, 40, 40))
    ring.masks[0, 8:32, 8:32] = False
    (centre,) = truth_of(ring, SIZES, SAMPLING).centres.tolist()
    x, y = (int(v) for v in centre)
    assert ring.masks[0, y, x]


def test_crowds_are_neither_object_nor_background() -> None:
    truth = truth_of(target((0, 0, 32, 32), (40, 40, 64, 64), crowd=(1,)), SIZES, SAMPLING)
    assert truth.labels.tolist() == [0]
    assert (truth.classes[:64].view(8, 8)[5:, 5:] == IGNORED).all()


def test_no_target_is_all_background() -> None:
    truth = truth_of(target(), SIZES, SAMPLING)
    assert (truth.classes == 0).all()
    assert len(truth.home) == len(truth.labels) == 0


def perceived() -> Perceived:
    return Perceived(levels(4), levels(2))


def test_samples_are_centres_sure_core_pixels_and_false_alarms() -> None:
    sampling = Sampling(ranges=((0, 99), *((100, 101),) * 4), core=1.0, per_object=2, negatives=1)
    truth = truth_of(target((0, 0, 32, 32), labels=[2]), SIZES, sampling)
    guess = perceived()
    guess.logits[0][0, 3, 0, 0] = 9  # sure of the right class
    guess.logits[0][0, 1, 0, 1] = 9  # sure of another one
    guess.logits[0][0, 3, 3, 3] = 5
    guess.logits[0][0, 2, 6, 6] = 4  # a false alarm
    flat, own = sample(guess, truth, sampling)
    assert sorted(zip(flat.tolist(), own.tolist(), strict=True)) == sorted(
        {(0, 0), (27, 0), (int(truth.home), 0), (54, -1)}
    )


def test_nothing_to_learn_is_still_sampled() -> None:
    sampling = Sampling(ranges_for(320), negatives=3)
    flat, own = sample(perceived(), truth_of(target(), SIZES, sampling), sampling)
    assert len(flat) == 3
    assert own.tolist() == [-1] * 3


def test_perceive_loss_is_the_sum_of_the_levels_means() -> None:
    """Uniform logits of four classes: log 4 a level, whatever is ignored."""
    truth = truth_of(target((0, 0, 24, 24)), SIZES, SAMPLING)
    loss = perceive_loss(perceived(), [truth], [target((0, 0, 24, 24))], 0.0)
    assert loss.item() == pytest.approx(5 * torch.tensor(4.0).log().item())
    focal = perceive_loss(perceived(), [truth], [target((0, 0, 24, 24))], 2.0)
    assert focal.item() == pytest.approx(loss.item() * 0.75**2)


def test_unannotated_categories_are_as_right_as_the_background() -> None:
    partly = target()
    partly = Targets(
        partly.labels, partly.boxes, partly.masks, partly.crowd, torch.tensor([True, False, False])
    )
    truth = truth_of(partly, SIZES, SAMPLING)
    loss = perceive_loss(perceived(), [truth], [partly], 0.0)
    assert loss.item() == pytest.approx(5 * torch.tensor(4 / 3).log().item())


def test_mask_loss_by_hand() -> None:
    logits = torch.tensor([[[9.0, 9.0]], [[-9.0, 0.0]]])
    wanted = torch.tensor([[[True, True]], [[False, True]]])
    plain = mask_losses(logits, wanted, dice_weight=0.0).sum().item()
    assert plain == pytest.approx(0.5 * torch.tensor(2.0).log().item(), abs=1e-3)
    both = mask_losses(logits, wanted, dice_weight=3.0).sum().item()
    assert both - plain == pytest.approx(3 * (1 - 2 * 0.5 / 1.25), abs=1e-2)
    assert len(mask_losses(logits[:0], wanted[:0], dice_weight=3.0)) == 0


def test_levels_learn_sizes_that_follow_the_image() -> None:
    assert ranges_for(800)[0] == (0, 96)
    assert ranges_for(400)[1] == (24, 96)
    assert ranges_for(64) == ranges_for(320)
