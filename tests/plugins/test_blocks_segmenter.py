"""What is asked of `predict`, and who is asked."""

import torch
from rectangles import padded_batch

from segcli.types import ModelInfo, Resize
from segcli_blocks.normalize import IMAGENET, Normalize
from segcli_blocks.segmenter import BaseSegmenter, Selection, keep_categories

SCORES = torch.tensor([0.2, 0.9, 0.5, 0.9])


def test_the_best_that_reach_the_score() -> None:
    assert Selection(0.5, 10).best(SCORES).tolist() == [1, 3, 2]  # the first of equals first
    assert Selection(0.5, 2).best(SCORES).tolist() == [1, 3]
    assert Selection(0.0, 0).best(SCORES).tolist() == []
    assert Selection(0.0, 5).best(SCORES[:0]).tolist() == []


def test_other_categories_are_filled() -> None:
    scores = torch.tensor([[0.1, 0.2, 0.3]])
    assert keep_categories(scores, None) is scores
    assert keep_categories(scores, frozenset({2}), fill=-1.0).tolist() == [[-1, -1, scores[0, 2]]]
    assert keep_categories(scores.T, frozenset({0}), dim=0).tolist() == [[scores[0, 0]], [0], [0]]
    assert not keep_categories(scores > 0, frozenset()).any()


class Asked(BaseSegmenter):
    """Keeps what it is asked."""

    def answer(self, batch, selection):
        self.asked = (selection, torch.is_grad_enabled())
        return []


def test_predict_asks_without_gradients() -> None:
    info = ModelInfo("asked", "toy", ("a",), (1,), Resize(64, 64), 32)
    model = Asked(info, Normalize(*IMAGENET))
    assert (
        model.predict(padded_batch(), min_score=0.3, max_masks=4, categories=frozenset({0})) == []
    )
    assert model.asked == (Selection(0.3, 4, frozenset({0})), False)
