"""Validations are kept, the best is known, and a resume reads what came before it."""

import pytest

from segcli.errors import UsageError
from segcli.train.history import History
from segcli.train.measure import ClassScore, Measured, best_scores


def measured(ap: float, *classes: ClassScore, name: str = "val") -> Measured:
    return Measured(name, ap, 2 * ap, classes)


def test_the_best_is_the_first_with_the_highest_mean(tmp_path) -> None:
    history = History(tmp_path / "val.jsonl")
    assert (history.best, history.stale) == (None, 0)
    for epoch, (one, other) in enumerate([(0.1, 0.3), (0.4, 0.2), (0.3, 0.3), (0.1, 0.1)], 1):
        history.add(epoch, 10 * epoch, [measured(one), measured(other, name="b")])
    assert (history.best, history.stale) == (1, 2)
    again = History.read(tmp_path / "val.jsonl", epochs=3)
    assert again.entries == history.entries[:3]
    assert again.has(3)
    assert not again.has(4)


def test_a_damaged_history_is_refused(tmp_path) -> None:
    (tmp_path / "val.jsonl").write_text("{")
    with pytest.raises(UsageError, match="val.jsonl is damaged"):
        History.read(tmp_path / "val.jsonl", epochs=1)


def test_a_categorys_score_comes_from_the_set_with_most_of_it() -> None:
    few = measured(0.1, ClassScore("cat", 2, 0.5, 0.5, 0.9), ClassScore("dog", 1, 0.1, 0.1, 0.4))
    many = measured(0.1, ClassScore("cat", 9, 0.5, 0.5, 0.6), ClassScore("cow", 3, 0, 0, None))
    assert best_scores([few, many]) == {"cat": 0.6, "dog": 0.4}
