"""Training on two drawn pictures: it learns, and a resume is the same to the last bit."""

import json
from dataclasses import replace

import pytest
import torch

from segcli.errors import UsageError
from segcli.train.data import DataSet, read_dataset
from segcli.train.initial_model import begin, describe
from segcli.train.loader import plan_epoch
from segcli.train.loop import Recipe, train

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=2, batch_size=2, short=(64, 96), warmup=2, log_every=1, seed=7)


@pytest.fixture
def rows(dataset):
    return read_dataset(DataSet(*dataset), ("disc", "box"))


def model_of(seed: int = 0):
    info = describe("maskrcnn/mobilenet", ("disc", "box"), (3, 7), (80, 96))
    return begin(info, None, seed=seed).model


def test_every_row_comes_once_an_epoch(rows) -> None:
    plans = plan_epoch(rows * 5, batch_size=3, short=(64, 96), stride=32, seed=1, epoch=0)
    assert sorted(i for plan in plans for i in plan.rows) == list(range(20))
    assert all(side % 32 == 0 for plan in plans for side in plan.canvas)
    again = plan_epoch(rows * 5, batch_size=3, short=(64, 96), stride=32, seed=1, epoch=0)
    later = plan_epoch(rows * 5, batch_size=3, short=(64, 96), stride=32, seed=1, epoch=1)
    assert plans == again != later


def test_a_resume_is_bit_exact(rows, tmp_path) -> None:
    whole = train(model_of(), rows, tmp_path / "a", RECIPE, device=CPU)

    class Killed(Exception):
        pass

    def kill(state) -> None:
        raise Killed

    with pytest.raises(Killed):
        train(model_of(), rows, tmp_path / "b", RECIPE, device=CPU, after_epoch=kill)
    resumed = train(model_of(seed=9), rows, tmp_path / "b", RECIPE, device=CPU, resume=True)

    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    for name, value in whole.average.state.items():
        assert torch.equal(value, resumed.average.state[name]), name
    logs = [(tmp_path / run / "log.jsonl").read_text().splitlines() for run in "ab"]
    losses = [[json.loads(line)["losses"] for line in log] for log in logs]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4


def test_a_resume_with_another_recipe_is_refused(rows, tmp_path) -> None:
    train(model_of(), rows, tmp_path, replace(RECIPE, epochs=1), device=CPU)
    recipe = replace(RECIPE, epochs=1, rate=1.0)
    with pytest.raises(UsageError, match=r"another training \(rate: 0\.0003 there, 1\.0 now\)"):
        train(model_of(), rows, tmp_path, recipe, device=CPU, resume=True)


def test_nothing_to_resume_is_said(rows, tmp_path) -> None:
    with pytest.raises(UsageError, match="leave out --resume"):
        train(model_of(), rows, tmp_path, RECIPE, device=CPU, resume=True)


def test_a_loss_that_is_not_finite_ends_the_training(rows, tmp_path) -> None:
    model = model_of()
    model.losses = lambda batch, targets: {"class": torch.tensor(float("nan"), requires_grad=True)}
    with pytest.raises(UsageError, match="not finite at step 1"):
        train(model, rows, tmp_path, RECIPE, device=CPU)


def test_initial_weights_are_taken_where_they_fit(tmp_path) -> None:
    from segcli.models import checkpoint

    info = describe("maskrcnn/mobilenet", ("cat",), (17,), (80, 96))
    checkpoint.save(tmp_path / "w.safetensors", model_of(seed=3).state_dict(), info)
    started = begin(info, tmp_path / "w.safetensors", seed=0)
    assert "backbone.fpn.inner_blocks.0.0.weight" in started.learned
    assert "roi_heads.box_predictor.cls_score.weight" not in started.learned
    assert not started.fresh
