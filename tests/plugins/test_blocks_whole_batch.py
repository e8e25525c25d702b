"""Whole batches at once, as on a GPU, against one image after another, as on a CPU."""

from dataclasses import replace

import pytest
import torch
from torchvision.ops import nms

from segcli_blocks.rcnn import box_head, rpn, whole_batch
from segcli_blocks.rcnn.conventions import BENCHMARK, DETECTRON2, MMDETECTION1, TORCHVISION
from segcli_blocks.segmenter import Selection

CONTENTS = [(90, 120), (128, 96), (60, 61)]


def boxes(count, seed, side=120.0):
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=random) * side * 0.7
    return torch.cat((corner, corner + 4 + torch.rand(count, 2, generator=random) * side / 2), 1)


def test_suppression_is_greedy_in_every_group(monkeypatch) -> None:
    monkeypatch.setattr(whole_batch, "_MATRIX", 2 * 60**2)
    groups = torch.stack([boxes(60, seed) for seed in range(5)])
    candidates = torch.rand(5, 60) > 0.2
    candidates[3] = False
    stays = whole_batch.suppress(groups, candidates, 0.4)
    falling = torch.arange(60, 0, -1).float()
    for one, candidate, kept in zip(groups, candidates, stays, strict=True):
        index = candidate.nonzero()[:, 0]
        expected = index[nms(one[index], falling[index], 0.4)]
        assert kept.nonzero()[:, 0].tolist() == expected.tolist()
    assert 20 < stays.sum() < candidates.sum()


def test_a_long_chain_of_suppression_is_followed_to_its_end() -> None:
    """Each box overlaps its neighbours alone, so every second one stays."""
    left = torch.arange(40).float() * 4
    row = torch.stack((left, torch.zeros(40), left + 10, torch.full((40,), 10.0)), 1)
    stays = whole_batch.suppress(row[None], torch.ones(1, 40, dtype=torch.bool), 0.4)
    assert stays[0].tolist() == [True, False] * 20


@pytest.mark.parametrize("base", [TORCHVISION, DETECTRON2, BENCHMARK, MMDETECTION1])
def test_proposals_are_those_of_each_image(base) -> None:
    conventions = replace(base, per_level=(50, 50), proposals=(40, 40), smallest=5.0)
    random = torch.Generator().manual_seed(0)
    sizes = (70, 30, 5)
    anchors = [boxes(count, count) for count in sizes]
    logits = [torch.randn(3, count, generator=random) for count in sizes]
    deltas = [torch.randn(3, count, 4, generator=random) / 4 for count in sizes]
    found = whole_batch.propose(logits, deltas, anchors, CONTENTS, conventions)
    for b, content in enumerate(CONTENTS):
        expected = rpn.propose(
            [level[b] for level in logits], [level[b] for level in deltas], anchors, content,
            conventions=conventions, training=False,
        )  # fmt: skip
        torch.testing.assert_close(found[b], expected, rtol=0, atol=1e-4)
    assert all(5 < len(one) <= 40 for one in found)


@pytest.mark.parametrize("base", [TORCHVISION, BENCHMARK])
@pytest.mark.parametrize("most", [0, 50_000])
@pytest.mark.parametrize("agnostic", [False, True])
def test_detections_are_those_of_each_image(base, most, agnostic, monkeypatch) -> None:
    monkeypatch.setattr(whole_batch, "_CANDIDATES", most)
    random = torch.Generator().manual_seed(1)
    counts = [40, 0, 25]
    regions = [boxes(count, count) for count in counts]
    scores = torch.randn(65, 4, generator=random).softmax(1)[:, 1:]
    deltas = torch.randn(65, 4 if agnostic else 16, generator=random)
    given = {
        "positions": None if agnostic else torch.tensor([1, 2, 3]),
        "conventions": replace(base, smallest_detection=6.0),
        "selection": Selection(0.2, 30, frozenset({0, 2})),
    }
    found = whole_batch.detect(scores, deltas, regions, CONTENTS, **given, iou=0.5)
    expected = box_head.detect_all(scores, deltas, regions, CONTENTS, **given)
    for (box, score, label), one in zip(found, expected, strict=True):
        torch.testing.assert_close(box, one.boxes, rtol=0, atol=1e-4)
        assert score.tolist() == one.scores.tolist()
        assert label.tolist() == one.labels.tolist()
    assert [len(one.labels) for one in expected][1] == 0
    assert len(expected[0].labels) == 30


def test_nothing_is_found_in_any_image() -> None:
    regions = [boxes(3, 0), boxes(2, 1)]
    found = whole_batch.detect(
        torch.zeros(5, 3), torch.zeros(5, 16), regions, CONTENTS[:2],
        positions=torch.tensor([1, 2, 3]), conventions=TORCHVISION,
        selection=Selection(0.5, 10), iou=0.5,
    )  # fmt: skip
    assert [[len(values) for values in one] for one in found] == [[0, 0, 0]] * 2
