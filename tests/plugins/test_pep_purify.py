"""PEP's purifying: adjacency, refinement, groups, merging, and what the adjacency learns."""

import pytest
import torch
from pep_toy import descriptors

from segcli_pep.losses import adjacency_loss
from segcli_pep.purify import Purify, groups, merged

CHAIN = torch.tensor([[1.0, 0.9, 0.1], [0.9, 1.0, 0.8], [0.1, 0.8, 1.0]])


def test_adjacency_is_symmetric_and_one_with_oneself() -> None:
    torch.manual_seed(0)
    part = Purify(4)
    logits = part.adjacency(torch.randn(5, 4))
    assert torch.allclose(logits, logits.T)
    assert logits.diag().tolist() == pytest.approx([5.0] * 5, abs=1e-4)
    assert logits.max() <= 5.0001
    assert logits.min() >= -15.0001
    assert part.adjacency(torch.zeros(0, 4)).shape == (0, 0)


def test_refining_adds_what_linked_descriptors_say() -> None:
    part = Purify(2)
    with torch.no_grad():
        part.graph.weight.copy_(torch.eye(2))
        part.graph.bias.zero_()
    vectors = torch.tensor([[1.0, 0], [0, 1], [0, -4]])
    apart = torch.tensor([[40.0, 40, -40], [40, 40, -40], [-40, -40, 40]])
    refined = part.refined(vectors, apart)
    torch.testing.assert_close(refined, torch.tensor([[1.5, 0.5], [0.5, 1.5], [0, -4]]))


def test_components_follow_chains_and_the_best_does_not() -> None:
    found = descriptors([(0, 0, 0)] * 3, scores=[0.9, 0.5, 0.6])
    assert groups(CHAIN, found, above=0.5).tolist() == [0, 0, 0]
    assert groups(CHAIN, found, above=0.5, merging="best").tolist() == [0, 0, 2]
    assert groups(CHAIN, found, above=0.85).tolist() == [0, 0, 2]


@pytest.mark.parametrize("merging", ["components", "best"])
def test_only_one_label_is_linked(merging) -> None:
    found = descriptors([(0, 0, 0)] * 3, labels=[0, 1, 0])
    group = groups(torch.ones(3, 3), found, above=0.5, merging=merging)
    assert group.tolist() == [0, 1, 0]
    assert len(groups(torch.ones(0, 0), descriptors([]), above=0.5, merging=merging)) == 0


def test_a_long_chain_is_one_component() -> None:
    n = 12
    chain = torch.eye(n) + torch.eye(n).roll(1, 0) * (torch.arange(n) > 0)[:, None]
    chain = torch.maximum(chain, chain.T)
    assert groups(chain, descriptors([(0, 0, 0)] * n), above=0.5).tolist() == [0] * n


def test_merging_weighs_by_confidence_and_keeps_the_best() -> None:
    found = descriptors([(0, 1, 1), (0, 2, 2), (1, 3, 3)], labels=[4, 4, 5], scores=[0.2, 0.6, 0.5])
    one = merged(found, torch.tensor([0, 0, 2]), mean=True)
    assert one.scores.tolist() == pytest.approx([0.6, 0.5])
    assert one.labels.tolist() == [4, 5]
    assert one.row.tolist() == [2, 3]
    torch.testing.assert_close(one.vectors[0], 0.25 * found.vectors[0] + 0.75 * found.vectors[1])
    torch.testing.assert_close(one.vectors[1], found.vectors[2])
    own = merged(found, torch.tensor([0, 0, 2]), mean=False)
    assert own.vectors.equal(found.vectors[[1, 2]])
    assert own.scores.equal(one.scores)
    none = torch.zeros(0, dtype=torch.int64)
    assert len(merged(descriptors([]), none, mean=True)) == 0
    assert len(merged(descriptors([]), none, mean=False)) == 0


def test_adjacency_loss_by_hand() -> None:
    """Both sorts of pairs weigh the same; one without a target is linked to nothing."""
    logits = torch.zeros(4, 4, requires_grad=True)
    loss = adjacency_loss(logits, torch.tensor([0, 0, 1, -1]))
    assert loss.item() == pytest.approx(torch.tensor(2.0).log().item())
    loss.backward()
    assert logits.grad.sum().abs() < 1e-6
    assert logits.grad[0, 1] < 0 < logits.grad[0, 2]
    assert logits.grad[3, 0] > 0
    assert logits.grad.diag().tolist() == [0.0] * 4


@pytest.mark.parametrize("own", [[], [-1], [-1, -1], [2, 2]])
def test_adjacency_loss_is_finite_without_one_sort_of_pairs(own) -> None:
    n = len(own)
    assert adjacency_loss(torch.randn(n, n), torch.tensor(own, dtype=torch.int64)).isfinite()
