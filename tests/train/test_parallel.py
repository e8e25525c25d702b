"""Processes that learn together, and one that learns from the same parts one after another."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from segcli.train.data import AnnotatedImage, DataSet, read_dataset
from segcli.train.loader import BatchPlan
from segcli.train.loop import Training, train
from segcli.train.parallel import ALONE, Group, joined, others
from segcli.train.recipe import Recipe
from tests.train.test_loop import CPU, RECIPE, Tiny

PARTS = replace(RECIPE, batch_size=3, parts=2)  # 4 images: batches of 3 (in parts of 2 and 1) and 1


class Normed(Tiny):
    """With a norm that learns its statistics, and a layer that nothing uses."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.conv = nn.Sequential(self.conv, nn.BatchNorm2d(3))
        self.unused = nn.Linear(2, 2)


def learn(rows: list[AnnotatedImage], recipe: Recipe, out: Path, group: Group = ALONE):
    stopped = []

    def after_epoch(state) -> bool:
        stopped.append(state.epoch)
        return state.epoch == 2

    training = Training(rows, replace(recipe, epochs=5), out, CPU)
    return train(Normed(group.rank), training, group=group, after_epoch=after_epoch), stopped


def follow(rows: list[AnnotatedImage], out: Path, meeting: Path) -> None:
    with joined([CPU, CPU], 1, meeting) as group:
        state, stopped = learn(rows, PARTS, out, group)
        assert (state.epoch, stopped) == (2, []), "it stops when the first process says so"


def losses(out: Path) -> list[float]:
    lines = (out / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["losses"]["class"] for line in lines]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_the_same_parts(dataset, tmp_path) -> None:
    rows = read_dataset(DataSet(*dataset), ("disc", "box"))
    alone, _ = learn(rows, PARTS, tmp_path / "alone")
    meeting = tmp_path / "meeting"
    with (
        others(follow, [(rows, tmp_path / "both", meeting)]),
        joined([CPU, CPU], 0, meeting) as group,
    ):
        both, stopped = learn(rows, PARTS, tmp_path / "both", group)
    assert stopped == [1, 2]
    assert losses(tmp_path / "alone") == pytest.approx(losses(tmp_path / "both"), abs=1e-4)
    assert len(losses(tmp_path / "alone")) == 4
    there = both.average.state
    for name, value in alone.average.state.items():
        if (
            value.is_floating_point() and "running" not in name
        ):  # each process has statistics of its own images: their mean
            torch.testing.assert_close(value, there[name], rtol=1e-3, atol=1e-4)
    assert torch.isfinite(there["conv.1.running_var"]).all()


def test_the_parts_of_a_batch_hold_all_of_its_images() -> None:
    plan = BatchPlan((5, 3, 8), (64, 96), (0, 1, 2))
    assert [p.rows for p in plan.parts(2)] == [(5, 8), (3,)]
    assert [p.draws for p in plan.parts(2)] == [(0, 2), (1,)]
    assert len(plan.parts(4)) == 3
    assert Group(1, 2).share_of(plan.parts(4)) == [(1, plan.parts(4)[1])]


def end_badly() -> None:
    os._exit(9)


def lose_one() -> None:
    """In a process of its own, because the loss of the other one ends it."""
    import time

    with others(end_badly, [()]):
        time.sleep(60)


@pytest.mark.slow
def test_the_loss_of_a_process_ends_the_training() -> None:
    code = "from tests.train.test_parallel import lose_one; lose_one()"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 9
    assert ended.stderr == (
        "error: a process of the training has ended (exit code 9); continue with --resume\n"
    )
