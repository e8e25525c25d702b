"""Training on two drawn pictures: it learns, and a resume is the same to the last bit."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segcli.errors import UsageError
from segcli.train.data import DataSet, read_dataset
from segcli.train.initial_model import begin, describe
from segcli.train.loader import plan_epoch
from segcli.train.loop import Training, _to, train
from segcli.train.recipe import Recipe
from segcli.types import ModelInfo, Resize, Targets

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=2, batch_size=2, short=(64, 96), warmup=2, log_every=1, seed=7)


@pytest.fixture
def rows(dataset):
    return read_dataset(DataSet(*dataset), ("disc", "box"))


class Tiny(nn.Module):
    """A model of a few numbers whose loss draws random samples, as real ones do."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.info = ModelInfo("tiny", "tiny", ("disc", "box"), (3, 7), Resize(80, 96), 32)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def predict(self, batch, *, min_score, max_masks, categories=None):
        raise NotImplementedError

    def losses(self, batch, targets):
        logits = self.conv(batch.pixels.float() / 255)
        chosen = torch.rand(logits.shape[-2:]) < 0.5
        truth = torch.stack([t.masks.any(0).long() for t in targets])
        return {"class": F.cross_entropy(logits[..., chosen], truth[..., chosen])}


def model_of(seed: int = 0):
    return Tiny(seed)


def test_every_row_comes_once_an_epoch(rows) -> None:
    plans = plan_epoch(rows * 5, batch_size=3, short=(64, 96), stride=32, seed=1, epoch=0)
    assert sorted(i for plan in plans for i in plan.rows) == list(range(20))
    assert all(side % 32 == 0 for plan in plans for side in plan.canvas)
    again = plan_epoch(rows * 5, batch_size=3, short=(64, 96), stride=32, seed=1, epoch=0)
    later = plan_epoch(rows * 5, batch_size=3, short=(64, 96), stride=32, seed=1, epoch=1)
    assert plans == again != later


def test_a_batch_has_images_of_like_shape_at_a_random_size(rows) -> None:
    wide, tall = replace(rows[0], size=(60, 120)), replace(rows[0], size=(120, 60))
    plans = plan_epoch([wide, tall] * 32, batch_size=4, short=(64, 128), stride=16, seed=1, epoch=0)
    aspects = [{i % 2 for i in plan.rows} for plan in plans]
    assert aspects.count({0}) == aspects.count({1}) == 8
    assert all((h > w) == (kinds == {1}) for (h, w), kinds in
               zip((plan.canvas for plan in plans), aspects, strict=True))  # fmt: skip
    assert len({min(plan.canvas) for plan in plans}) > 2


@pytest.mark.slow
def test_a_resume_is_bit_exact(rows, tmp_path) -> None:
    whole = train(model_of(), Training(rows, RECIPE, tmp_path / "a", CPU))

    class Killed(Exception):
        pass

    def kill(state) -> None:
        raise Killed

    with pytest.raises(Killed):
        train(model_of(), Training(rows, RECIPE, tmp_path / "b", CPU), after_epoch=kill)
    resumed = train(model_of(seed=9), Training(rows, RECIPE, tmp_path / "b", CPU), resume=True)

    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    for name, value in whole.average.state.items():
        assert torch.equal(value, resumed.average.state[name]), name
    logs = [(tmp_path / run / "log.jsonl").read_text().splitlines() for run in "ab"]
    losses = [[json.loads(line)["losses"] for line in log] for log in logs]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4


def test_a_resume_in_the_middle_of_an_epoch_is_bit_exact(rows, tmp_path) -> None:
    recipe = replace(RECIPE, batch_size=1, save_every=2)
    whole = train(model_of(), Training(rows, recipe, tmp_path / "a", CPU))

    class Killed(Exception):
        pass

    def kill(progress) -> None:
        if progress.step == 7:  # of 4 + 4; the checkpoint is of step 6
            raise Killed

    with pytest.raises(Killed):
        train(model_of(), Training(rows, recipe, tmp_path / "b", CPU), report=kill)
    resumed = train(model_of(seed=9), Training(rows, recipe, tmp_path / "b", CPU), resume=True)
    for name, value in whole.average.state.items():
        assert torch.equal(value, resumed.average.state[name]), name


def test_a_flat_schedule_may_become_longer_until_it_falls(rows, tmp_path) -> None:
    def recipe(epochs: int) -> Recipe:
        return replace(RECIPE, schedule="flat", batch_size=4, epochs=epochs)

    class Killed(Exception):
        pass

    def kill(state) -> None:
        if state.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        train(model_of(), Training(rows, recipe(3), tmp_path, CPU), after_epoch=kill)
    with pytest.raises(UsageError, match=r"another training \(epochs: 3 there, 2 now\)"):
        train(model_of(), Training(rows, recipe(2), tmp_path, CPU), resume=True)
    state = train(model_of(), Training(rows, recipe(4), tmp_path, CPU), resume=True)
    assert state.epoch == 4
    with pytest.raises(UsageError, match=r"another training \(epochs: 4 there, 9 now\)"):
        train(model_of(), Training(rows, recipe(9), tmp_path, CPU), resume=True)


def test_a_resume_with_other_data_is_refused(rows, tmp_path) -> None:
    train(model_of(), Training(rows, replace(RECIPE, epochs=1), tmp_path, CPU))
    with pytest.raises(UsageError, match=r"steps per epoch: 2 there, 4 now"):
        train(model_of(), Training(rows * 2, RECIPE, tmp_path, CPU), resume=True)


def test_weights_say_how_often_a_row_comes(rows) -> None:
    weighted = [replace(row, weight=w) for row, w in zip(rows, (2, 1, 0.5, 0.5), strict=True)]
    seen = []
    for epoch in range(20):
        plans = plan_epoch(weighted, batch_size=3, short=(64, 96), stride=32, seed=1, epoch=epoch)
        assert sorted(d for plan in plans for d in plan.draws) == list(range(4))
        seen += [i for plan in plans for i in plan.rows]
    assert [seen.count(i) for i in (0, 1)] == [40, 20]
    assert seen.count(2) + seen.count(3) == 20
    assert 3 < seen.count(2) < 17


@pytest.mark.slow
def test_a_resume_with_another_recipe_is_refused(rows, tmp_path) -> None:
    train(model_of(), Training(rows, replace(RECIPE, epochs=1), tmp_path, CPU))
    recipe = replace(RECIPE, epochs=1, rate=1.0)
    with pytest.raises(UsageError, match=r"another training \(rate: 0\.0003 there, 1\.0 now\)"):
        train(model_of(), Training(rows, recipe, tmp_path, CPU), resume=True)


@pytest.mark.parametrize("content", [b"", b"PK damaged", None])
def test_a_damaged_checkpoint_is_explained(rows, tmp_path, content) -> None:
    if content is None:
        torch.save({"weights": torch.zeros(1)}, tmp_path / "last.pt")
    else:
        (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(UsageError, match=r"last\.pt is (damaged|not the checkpoint)"):
        train(model_of(), Training(rows, RECIPE, tmp_path, CPU), resume=True)


def test_nothing_to_resume_is_said(rows, tmp_path) -> None:
    with pytest.raises(UsageError, match="leave out --resume"):
        train(model_of(), Training(rows, RECIPE, tmp_path, CPU), resume=True)


@pytest.mark.parametrize("norms", ["learn", "fixed"])
def test_norms_learn_their_statistics_or_keep_them(rows, tmp_path, norms) -> None:
    model = model_of()
    norm = nn.BatchNorm2d(3)
    model.conv = nn.Sequential(model.conv, norm)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    train(model, Training(rows, replace(RECIPE, norms=norms), tmp_path, CPU))
    after = norm.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(after[name], value)}
    statistics = {"running_mean", "running_var", "num_batches_tracked"}
    assert changed - statistics == {"weight", "bias"}
    assert changed & statistics == (statistics if norms == "learn" else set())


def test_a_loss_that_is_not_finite_ends_the_training(rows, tmp_path) -> None:
    model = model_of()
    model.losses = lambda batch, targets: {"class": torch.tensor(float("nan"), requires_grad=True)}
    with pytest.raises(UsageError, match="not finite at step 1"):
        train(model, Training(rows, RECIPE, tmp_path, CPU))


def test_initial_weights_are_taken_where_they_fit(tmp_path) -> None:
    from segcli.models import checkpoint

    def info_of(*names: str) -> ModelInfo:
        return describe("maskrcnn/mobilenet", names, range(3, 3 + len(names)), (80, 96))

    given = begin(info_of("disc", "box"), None, seed=3).model
    info = info_of("cat")
    checkpoint.save(tmp_path / "w.safetensors", given.state_dict(), info)
    started = begin(info, tmp_path / "w.safetensors", seed=0)
    assert "backbone.fpn.inner_blocks.0.0.weight" in started.learned
    assert "roi_heads.box_predictor.cls_score.weight" not in started.learned
    assert not started.fresh


def test_targets_without_the_optional_parts_reach_the_device() -> None:
    one = Targets(torch.zeros(1).long(), torch.zeros(1, 4), torch.ones(1, 2, 2), torch.zeros(1))
    moved = _to(one, torch.device("cpu"))
    assert (moved.exhaustive, moved.outlined) == (None, None)
    assert torch.equal(moved.masks, one.masks)
