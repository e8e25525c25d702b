"""Box and mask heads of four families on one frozen first stage, at an equal budget.

python -m scripts.studies.heads_at_equal_budget --data FILE.toml --out FOLDER [--seeds 0 1 2]
[--report]

FILE.toml lists data sets as for `segcli train`. Each seed writes FOLDER/heads-SEED.pt and appends a
line to FOLDER/runs.jsonl when it is trained; a second run does what is missing. `--report` measures
these heads, appends to FOLDER/results.jsonl what is not there yet, and prints the tables.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from scripts.studies.heads_at_equal_budget.arms import ARMS, Budget, build, train
from scripts.studies.heads_at_equal_budget.measuring import detections, metrics
from scripts.studies.heads_at_equal_budget.memory import remember
from scripts.studies.heads_at_equal_budget.report import tables
from segcli.train.data import AnnotatedImage, read_dataset
from segcli.train.sources import Sources, Validation, read_sources
from segcli_blocks.rcnn.two_stage import TwoStage


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    sources = read_sources(options.data)
    if options.report:
        print(tables(_measured(options, sources)))
    else:
        _run(options, sources)
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="TOML file with the data sets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--report", action="store_true", help="print the tables, train nothing")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, sources: Sources) -> None:
    runs = options.out / "runs.jsonl"
    done = {line["seed"] for line in _lines(runs)}
    base = build(0, ARMS[:1])[ARMS[0]]
    rows = _rows(sources, base.info.categories)
    remember(base, rows, options.out / "images")
    for seed in options.seeds:
        if seed not in done:
            _train(options, rows, seed, runs)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _measured(options: argparse.Namespace, sources: Sources) -> list[dict[str, Any]]:
    """The numbers of all seeds; those that are new are written down."""
    results = options.out / "results.jsonl"
    done = {(line["seed"], line["set"]) for line in _lines(results)}
    for run in _lines(options.out / "runs.jsonl"):
        for validation in sources.val:
            known = (run["seed"], validation.name) in done
            if known or run["seed"] not in options.seeds:
                continue
            found = detections(_trained(options.out, run), validation)
            for way, records in found.items():
                _results_file(options.out, way, validation, run["seed"]).write_text(
                    json.dumps(records)
                )
            rows = metrics(found, validation, resamples=options.resamples)
            text = "".join(f"{json.dumps({**run, **row})}\n" for row in rows)
            with results.open("a") as file:
                file.write(text)
    return _lines(results)


def _rows(sources: Sources, categories: tuple[str, ...]) -> list[AnnotatedImage]:
    return [row for dataset in sources.train for row in read_dataset(dataset, categories)]


def _train(options: argparse.Namespace, rows: list[AnnotatedImage], seed: int, runs: Path) -> None:
    models, budget = build(seed, options.arms), Budget(options.steps)
    facts = train(models, rows, options.out / "images", budget, seed)
    weights = {arm: model.roi_heads.state_dict() for arm, model in models.items()}
    torch.save(weights, _heads_file(options.out, seed))
    line = {
        "seed": seed,
        "arms": list(models),
        "steps": budget.steps,
        "batch": budget.batch,
        **facts,
    }
    with runs.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _trained(out: Path, run: dict[str, Any]) -> dict[str, TwoStage]:
    models = build(run["seed"], run["arms"])
    for arm, weights in torch.load(_heads_file(out, run["seed"]), weights_only=True).items():
        models[arm].roi_heads.load_state_dict(weights)
    return models


def _heads_file(out: Path, seed: int) -> Path:
    return out / f"heads-{seed}.pt"


def _results_file(out: Path, way: str, validation: Validation, seed: int) -> Path:
    """COCO results, which `segcli eval` reads too."""
    name = way.replace(", ", "-").replace(" ", "-")
    return out / f"{name}-{validation.name}-{seed}.json"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
