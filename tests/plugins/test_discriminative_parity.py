"""The discriminative loss and its authors' clustering against recordings of four implementations.

Every size comes from the files. `paper` was computed from the equations in float64, `authors`,
`wizaron` and `nyoki` are the published files, executed.
"""

from dataclasses import replace

import pytest
import torch
from kit.parity import close, tensors

from scripts.studies.authors_clustering import cluster, cluster_with_labels
from segcli_discriminative.losses import FORMS, discriminative, mean_terms

RECORDED = {
    "paper, L2": ("paper", 2, "paper_l2"),
    "paper, L1": ("paper", 1, "paper_l1"),
    "authors": ("authors", 2, "authors_lua"),
    "wizaron, L2": ("wizaron", 2, "wizaron_l2"),
    "wizaron, L1": ("wizaron", 1, "wizaron_l1"),
    "nyoki, L2": ("nyoki", 2, "nyoki_l2"),
    "nyoki, L1": ("nyoki", 1, "nyoki_l1"),
}
TERMS = {"var": "variance", "dist": "distance", "reg": "regularisation", "total": "total"}


@pytest.fixture(scope="module")
def losses(reference):
    return tensors(reference / "discriminative/loss.npz")


@pytest.fixture(scope="module")
def clusters(reference):
    return tensors(reference / "discriminative/cluster.npz")


@pytest.mark.parametrize("name", RECORDED)
def test_loss_and_gradients(losses, name):
    form, norm, recorded = RECORDED[name]
    form = replace(FORMS[form], norm=norm)
    embedding = losses["embedding"].clone().requires_grad_()
    owners = losses["labels"].long()
    assert [int(o.max()) for o in owners] == losses["n_instances"].tolist()
    pairs = zip(embedding, owners, strict=True)
    found = mean_terms([discriminative(x, owner, form) for x, owner in pairs])
    compared = 0
    for short, term in TERMS.items():
        if (wanted := losses.get(f"{recorded}_{short}")) is not None:
            value = getattr(found, term)
            torch.testing.assert_close(value, wanted.to(value.dtype), rtol=1e-5, atol=0)
            compared += 1
        gradient = losses.get(f"{recorded}_grad_{short}")
        if gradient is not None and gradient.numel():
            (slope,) = torch.autograd.grad(getattr(found, term), embedding, retain_graph=True)
            close(slope, gradient, 1e-5)
            compared += 1
    assert compared >= 2, "a value and a gradient at least"


@pytest.mark.parametrize("bandwidth", ["1.5", "1.0"])
@pytest.mark.parametrize("name", ["clean", "noisy"])
def test_authors_clustering_given_their_random_picks(clusters, name, bandwidth):
    seeds = iter(clusters[f"{name}_bw{bandwidth}_seed_indices_1based"].tolist())
    labels = cluster(
        clusters[f"{name}_embedding"],
        clusters[f"{name}_gt_labels"] > 0,
        bandwidth=float(bandwidth),
        pick=lambda points, failures: next(seeds) - 1,
    )
    assert next(seeds, None) is None, "as many picks as theirs"
    assert labels.equal(clusters[f"{name}_bw{bandwidth}_cluster"].long())


@pytest.mark.parametrize("bandwidth", ["1.5", "1.0"])
@pytest.mark.parametrize("name", ["clean", "noisy"])
def test_authors_clustering_around_the_true_means(clusters, name, bandwidth):
    labels = cluster_with_labels(
        clusters[f"{name}_embedding"], clusters[f"{name}_gt_labels"], bandwidth=float(bandwidth)
    )
    assert labels.equal(clusters[f"{name}_bw{bandwidth}_clusterWithLabels"].long())
