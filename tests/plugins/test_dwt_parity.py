"""The Deep Watershed Transform's targets, losses and decoding against recordings.

The authors' own functions made the losses and the decoding; the targets follow their published
formula. Every size comes from the file.
"""

import numpy as np
import pytest
import torch
from kit.parity import close, tensors

from segcli_watershed.losses import angles, direction_loss, level_loss
from segcli_watershed.masks import Cut, decode
from segcli_watershed.targets import BOUNDS, LEVELS, landscape

SMALL, LARGE = {"level": 1, "grown": 3}, {"level": 2, "grown": 5}
# Person, rider, motorcycle, bicycle, car, truck, bus, train: Cityscapes' ids, and how to cut.
CITYSCAPES = {
    24: Cut(smallest=20, **SMALL), 25: Cut(smallest=20, **SMALL), 32: Cut(smallest=20, **SMALL),
    33: Cut(smallest=20, **SMALL), 26: Cut(smallest=25, **LARGE), 27: Cut(smallest=45, **LARGE),
    28: Cut(smallest=45, **LARGE), 31: Cut(smallest=45, **LARGE),
}  # fmt: skip


@pytest.fixture(scope="module")
def recorded(reference):
    return tensors(reference / "dwt/dwt.npz")


def test_bounds(recorded):
    assert recorded["level_bins"].tolist() == [0.0, *BOUNDS, float("inf")]
    assert recorded["wtn_logits"].shape[-1] == LEVELS


def test_targets(recorded):
    found = landscape(recorded["ids"].numpy(), edges=False)
    close(found.distance, recorded["gt_distance"])
    close(found.direction.movedim(0, -1), recorded["gt_direction"])
    close(found.weight, recorded["gt_weight"])
    assert found.level.equal(recorded["gt_level"].long())


def test_direction_loss(recorded):
    found = recorded["dn_pred"].movedim(-1, 1).clone().requires_grad_()
    wanted = recorded["dn_gt"].movedim(-1, 1)
    inside, weight = recorded["dn_ss"], recorded["dn_weight"]
    loss = direction_loss(found, wanted, inside, weight)
    close(loss, recorded["dn_loss"])
    close(loss * (inside.sum() + 1), recorded["dn_loss_sum"])
    (slope,) = torch.autograd.grad(loss, found)
    close(slope.movedim(1, -1), recorded["dn_grad"], 1e-3)
    wrong = (angles(found, wanted) > torch.pi / 4) & (inside > 0)
    assert int(wrong.sum()) == int(recorded["dn_exceed45"])


def test_level_loss(recorded):
    logits = recorded["wtn_logits"].movedim(-1, 1).clone().requires_grad_()
    inside, weight = recorded["wtn_ss"], recorded["wtn_weight"]
    loss = level_loss(logits, recorded["wtn_level"].long(), inside, weight)
    close(loss, recorded["wtn_loss"])
    close(loss * ((inside * weight).sum() + 1), recorded["wtn_loss_sum"])
    (slope,) = torch.autograd.grad(loss, logits)
    close(slope.movedim(1, -1), recorded["wtn_grad"])


def test_decoding(recorded):
    classes = recorded["cls"].numpy().astype(np.int64) - 1
    objects, labels = decode(recorded["energy"].numpy(), classes, list(CITYSCAPES.values()))
    ids = np.array(list(CITYSCAPES))[labels]
    within = np.concatenate([np.arange(n) for n in np.unique(labels, return_counts=True)[1]])
    named = np.concatenate(([0], 1000 * ids + within))
    expected = recorded["instance_map"].numpy()
    first = expected[expected > 0].min() % 1000  # do theirs count from 0 or from 1?
    named[1:] += first
    assert (named[objects] == expected).all()
