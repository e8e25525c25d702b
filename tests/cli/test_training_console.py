"""What a training shows while it runs."""

from types import SimpleNamespace

import pytest

from segcli.cli.training_console import duration, training_progress


def test_a_log_has_the_step_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    """99 steps of 4 images at 2 images/s: 198 s; the next line comes 15 s later, or at the end."""
    recipe = SimpleNamespace(batch_size=4)
    with training_progress(recipe, 100) as report:
        for step in (1, 2, 100):
            losses = {"mask": 0.5}
            report(SimpleNamespace(step=step, steps=100, epoch=0, images_per_s=2.0, losses=losses))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch 1 s")]
    assert lines == [
        "epoch 1 step 1/100 2.0 images/s, 3 min left, mask 0.500",
        "epoch 1 step 100/100 2.0 images/s, 0 s left, mask 0.500",
    ]


def test_durations() -> None:
    assert [duration(s) for s in (40, 720, 12_000)] == ["40 s", "12 min", "3 h 20 min"]
