"""Discriminative embeddings' parts on numbers small enough to check by hand, and that it learns."""

from dataclasses import replace

import pytest
import torch
from overfitting import learn, two_images
from torch import nn
from torchvision.models import mobilenet_v2, resnet50

from scripts.studies import authors_clustering as authors
from segcli.errors import UsageError
from segcli.types import ModelInfo, Resize
from segcli_blocks.resnet import ResNet, fixed_statistics
from segcli_blocks.semantic import Truth
from segcli_discriminative import FAMILY
from segcli_discriminative.losses import FORMS, Form, discriminative, instance_terms
from segcli_discriminative.masks import Clustering, cluster, margins
from segcli_discriminative.variants import assemble

# The loss.

# Two objects of two pixels in one dimension: means 0 and 2, each pixel 1 from its own.
PIXELS = torch.tensor([[-1.0, 1.0, 1.0, 3.0, 9.0]])
OWNER = torch.tensor([1, 1, 2, 2, 0])


def test_terms_by_hand():
    found = discriminative(PIXELS, OWNER)
    assert found.variance == pytest.approx(0.25)  # (1 - 1/2)^2
    assert found.distance == pytest.approx(1.0)  # (3 - 2)^2
    assert found.regularisation == pytest.approx(1.0)  # (0 + 2) / 2
    assert found.total == pytest.approx(1.251)


def test_the_readings_differ_as_told():
    found = {name: discriminative(PIXELS, OWNER, form) for name, form in FORMS.items()}
    assert found["authors"].variance == pytest.approx(0.5)
    assert found["authors"].distance == pytest.approx(1.0)  # times two objects, over two
    assert found["authors"].total == pytest.approx(1.5)  # not drawn to the origin
    assert found["nyoki"].distance == pytest.approx(0.5)
    uneven = torch.tensor([1, 1, 2, 0, 0])  # the second object sits on its mean
    assert discriminative(PIXELS, uneven).variance == pytest.approx(0.125)
    assert discriminative(PIXELS, uneven, FORMS["wizaron"]).variance == pytest.approx(0.5 / 3)


def test_one_object_pushes_nothing_and_none_costs_nothing():
    one = discriminative(PIXELS, torch.tensor([1, 1, 0, 0, 0]))
    assert one.distance == 0
    embedding = PIXELS.clone().requires_grad_()
    none = discriminative(embedding, torch.zeros(5, dtype=torch.int64))
    none.total.backward()
    assert none.total == 0
    assert (embedding.grad == 0).all()


def test_equal_means_have_a_finite_gradient():
    embedding = torch.zeros(4, 6, requires_grad=True)
    discriminative(embedding, torch.tensor([1, 1, 1, 2, 2, 2])).total.backward()
    assert embedding.grad.isfinite().all()


def test_classes_do_not_push_each_other():
    owner = torch.tensor([[0, 0, 1, 1, -1]])
    truth = Truth(owner, torch.ones(1, 5, 3).bool(), torch.ones(1, 5).bool())
    same = instance_terms(PIXELS[:, None], truth, torch.tensor([1, 1]), Form())
    other = instance_terms(PIXELS[:, None], truth, torch.tensor([1, 0]), Form())
    assert same.distance == pytest.approx(1.0)
    assert other.distance == 0
    assert other.variance == pytest.approx(0.5)


# Clustering.


def blobs(side=48, noise=0.1, blend=True):
    """Four objects of 20 x 20 px that touch crosswise, their embeddings 4 apart."""
    torch.manual_seed(3)
    truth = torch.zeros(side, side, dtype=torch.int64)
    for label, (y, x) in enumerate(((4, 4), (4, 24), (24, 4), (24, 24)), 1):
        truth[y : y + 20, x : x + 20] = label
    centres = torch.tensor([[0.0, 0, 0], [4, 0, 0], [0, 4, 0], [4, 4, 0], [0, 0, 4]])
    embedding = centres[truth].permute(2, 0, 1)
    if blend:
        embedding = nn.functional.avg_pool2d(embedding, 3, stride=1, padding=1)
    return embedding + noise * torch.randn(embedding.shape), truth


@pytest.mark.parametrize("blend", [False, True])
def test_objects_are_found_whole(blend):
    embedding, truth = blobs(blend=blend)
    labels, modes = cluster(embedding, truth > 0, Clustering())
    assert len(modes) == 4
    for label in range(1, 5):
        own = labels[truth == label]
        most = own.mode().values
        assert most > 0
        assert (own == most).float().mean() > (0.8 if blend else 0.99)


def test_the_authors_clustering_begins_where_it_is_densest():
    embedding, truth = blobs()
    first, second = (authors.cluster(embedding, truth > 0) for _ in range(2))
    assert first.equal(second)
    assert first.max() == 4
    points = torch.tensor([[0.0, 5, 5.1, 5.2, 9, 9.1]])
    assert [authors.densest(points, failures) for failures in (0, 1, 3)] == [1, 2, 4]


def test_small_objects_are_found_on_a_finer_grid():
    embedding, truth = blobs(blend=False)
    small = torch.zeros_like(truth)
    small[44:48, 0:8] = 5
    embedding[:, small > 0] = torch.tensor([0.0, 0, -6])[:, None]
    options = Clustering(points=30, left=10)
    labels, modes = cluster(embedding, (truth + small) > 0, options)
    assert len(modes) == 5
    assert len(labels[small > 0].unique()) == 1


def test_seams_are_no_objects():
    embedding, truth = blobs(noise=0.0)
    options = Clustering(points=100_000)  # every px is asked
    _, modes = cluster(embedding, truth > 0, options)
    assert len(modes) == 4


def test_far_pixels_stay_without_a_label():
    embedding = torch.zeros(2, 12, 12)
    embedding[:, 0, 0] = 50.0
    labels, _ = cluster(embedding, torch.ones(12, 12).bool(), Clustering())
    assert labels[0, 0] == 0
    assert labels[5, 5] == 1


@pytest.mark.parametrize("side", [1, 3, 12])
def test_nothing_to_cluster(side):
    embedding = torch.zeros(2, side, side)
    nothing = torch.zeros(side, side, dtype=torch.bool)
    assert len(cluster(embedding, nothing, Clustering())[1]) == 0
    assert authors.cluster(embedding, nothing).max() == 0
    cluster(embedding, ~nothing, Clustering())


# Fields.


def test_margins_are_positive_for_the_nearest_within_reach():
    apart = torch.tensor([[0.5, 2.0, 3.5], [2.0, 0.5, 3.6]])[:, :, None]
    found = margins(apart, Clustering(bandwidth=1.5, reach=3.0))
    assert (found[:, :, 0] > 0).tolist() == [[True, False, False], [False, True, False]]
    assert found[0, 0, 0] == pytest.approx(1.0)
    assert found[0, 2, 0] == pytest.approx(-0.5 / 1.5)


def test_fields_hold_the_label_map():
    torch.manual_seed(0)
    model = toy(("a", "b"), 64)
    embedding, truth = blobs()
    even = (truth > 0) & (truth % 2 == 0)
    logits = torch.stack((truth % 2 * 4.0, even * 3.0, 1.0 - (truth > 0).float()))
    found = model.detect(logits, embedding)
    said = logits.softmax(0).argmax(0)
    for label in (0, 1):
        labels, modes = cluster(embedding, said == label, Clustering())
        own = found.fields[found.labels == label]
        assert len(own) == len(modes)
        for number, field in enumerate(own, 1):
            assert (field > 0).equal(labels == number)


# Checkpoints.


def test_imagenet_bodies_are_a_beginning():
    light = FAMILY.convert(mobilenet_v2().state_dict(), FAMILY.variants["mobilenet"])
    large = FAMILY.convert(resnet50().state_dict(), FAMILY.variants["r50-fpn"])
    for variant, state in (("mobilenet", light), ("r50-fpn", large)):
        with torch.device("meta"):
            expected = FAMILY.build(FAMILY.variants[variant]).state_dict()
        assert all(expected[name].shape == tensor.shape for name, tensor in state.items())
        assert {name.split(".")[0] for name in state} == {"backbone"}


def test_another_body_is_refused():
    with pytest.raises(UsageError, match="backbone.body"):
        FAMILY.convert(resnet50().state_dict(), FAMILY.variants["mobilenet"])


# It learns.


def toy(names, side):
    """Everything of the real one, narrow."""
    info = ModelInfo(
        "discriminative", "toy", tuple(names), tuple(range(len(names))), Resize(side, side), 32
    )
    return assemble(info, ResNet(18, fixed_statistics, width=16), width=32)


@pytest.mark.slow
def test_it_learns_two_images_by_heart(data):
    torch.manual_seed(0)
    pair, names = two_images(data, 128)
    assert learn(toy(names, 128), pair, steps=400, rate=2e-3) == 1.0


def test_the_other_forms_learn_too():
    form = replace(FORMS["authors"], norm=1)
    embedding, truth = blobs(side=48)
    start = embedding.clone().requires_grad_()
    optimiser = torch.optim.SGD([start], lr=0.5)
    totals = []
    for _ in range(5):
        optimiser.zero_grad()
        total = discriminative(start, truth, form).total
        totals.append(total.item())
        total.backward()
        optimiser.step()
    assert totals[-1] < totals[0]
