"""Fine-tune a model of the Mask R-CNN kind at its test size, the last steps of the shipped weights.

python -m scripts.studies.fine_tune --weights FILE --data FILE.toml --out FOLDER [--heads-only]

One epoch with a falling rate, the statistics of norms fixed. With --heads-only, body, pyramid and
proposals stay as they are. FOLDER/weights.safetensors gets the average of the weights; a second run
resumes where FOLDER/last.pt was written. `--mean FILE SHARE` then mixes this average with other
weights, whose share is SHARE.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from segcli.models import checkpoint
from segcli.train.balance import repeat_rare
from segcli.train.data import read_dataset
from segcli.train.initial_model import begin
from segcli.train.loop import Progress, Training, train
from segcli.train.recipe import Recipe
from segcli.train.sources import read_sources
from segcli_blocks.rcnn.two_stage import TwoStage


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    torch.set_num_threads(1)
    info, _ = checkpoint.load(options.weights)
    sources = read_sources(options.data)
    rows = [row for one in sources.train for row in read_dataset(one, sources.categories)]
    beginning = begin(info, options.weights, seed=options.seed)
    model = beginning.model
    assert isinstance(model, TwoStage)
    if options.heads_only:
        model.backbone.requires_grad_(False)
        model.rpn.requires_grad_(False)
    recipe = Recipe(
        epochs=1, batch_size=6, rate=options.lr, learned_rate=1.0, schedule="cosine", warmup=30,
        norms="fixed", average=options.average, short=tuple(options.image_size),
        precision=options.precision, seed=options.seed, workers=1, save_every=100,
    )  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    training = Training(repeat_rare(rows, 0.1), recipe, options.out, torch.device("cpu"))
    resume = (options.out / "last.pt").exists()
    state = train(model, training, learned=beginning.learned, resume=resume, report=_show)
    found = {name: value.cpu() for name, value in state.average.state.items()}
    if options.mean:
        file, share = options.mean[0], float(options.mean[1])
        _, other = checkpoint.load(Path(file))
        found = {n: _mixed(value, other[n], share) for n, value in found.items()}
    checkpoint.save(options.out / "weights.safetensors", found, info, notes={}, half=True)
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="as for `segcli train`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--heads-only", action="store_true")
    parser.add_argument("--image-size", type=int, nargs=2, default=(384, 448), metavar="PX")
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--average", type=float, default=0.99, help="decay")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--mean", nargs=2, metavar=("FILE", "SHARE"))
    return parser.parse_args(arguments)


def _mixed(value: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    if not value.is_floating_point():
        return value
    return (1 - share) * value.float() + share * other.float()


def _show(progress: Progress) -> None:
    if progress.step % 10 == 0:
        losses = ", ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
        print(f"step {progress.step} of {progress.steps}: {losses}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
