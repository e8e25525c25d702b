import pytest
import torch
from torch import nn

from segcli.train.schedule import Average, make_optimizer, rate_at, set_rate


def test_cosine_rises_and_falls() -> None:
    rates = [rate_at(step, 100, warmup=10) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)


def test_steps_drop_to_a_tenth_twice() -> None:
    rates = [rate_at(step, 120, warmup=1, schedule="step") for step in (79, 80, 110)]
    assert rates == pytest.approx([1.0, 0.1, 0.01])


def test_a_flat_schedule_falls_in_the_last_fifth_only() -> None:
    rates = [rate_at(step, 100, warmup=10, schedule="flat") for step in (0, 10, 80, 90, 99)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.505, 0.06], abs=1e-3)


def test_groups_have_their_own_rate_and_decay() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimizer = make_optimizer(
        model,
        name="adamw",
        rate=1.0,
        weight_decay=0.1,
        learned=frozenset({"0.weight", "0.bias"}),
        learned_rate=0.5,
    )
    set_rate(optimizer, 0.1)
    groups = {(g["lr"], g["weight_decay"]) for g in optimizer.param_groups}
    assert groups == {(0.05, 0.1), (0.05, 0.0), (0.1, 0.1), (0.1, 0.0)}


def test_the_average_forgets_the_beginning_and_follows() -> None:
    average = Average({"w": torch.zeros(1), "n": torch.tensor(0)}, decay=0.9)
    for count in range(60):
        average.update({"w": torch.ones(1), "n": torch.tensor(count)})
    assert average.state["w"].item() == pytest.approx(1.0, abs=0.01)
    assert average.state["n"].item() == 59
