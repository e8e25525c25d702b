"""Effects of PEP's inference options on models of the ablation: ablation_sweep.py --ablation DIR.

Measures every choice on scenes that are neither trained on nor in the ablation's table, so that
what is picked here can be reported there. Writes DIR/sweep.md and DIR/sweep.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from scripts.data import make_scenes
from scripts.studies.ablation.cell import load, measure, scenes
from scripts.studies.ablation.models import SWITCHES, Body, Plan, build

SEED = 3  # of the scenes
CHOICES: tuple[dict[str, Any], ...] = (
    {},
    {"sigma": None},
    {"sigma": 30.0},  # Matrix NMS that forgives nothing
    {"merging": "components"},
    {"linked": 0.3},
    {"linked": 0.7},
    {"linked": 0.9},
    {"suppress_purified": True},
    {"linked": 1.0, "suppress_purified": True},  # nothing is merged
    {"linked": 1.0, "suppress_purified": True, "sigma": 30.0},
    {"key": 0.1},
    {"key": 0.4},
    {"most_keys": 1},
)
# Which models a choice can change.
CONCERNS = {
    "linked": ("purify", "both"),
    "merging": ("purify", "both"),
    "suppress_purified": ("purify", "both"),
    "key": ("excavate", "both"),
    "most_keys": ("excavate", "both"),
}
SHOWN = ("AP", "AP50", "recall_crowded", "recall_alone", "duplicates_per_image")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.studies.ablation.sweep", description=__doc__
    )
    parser.add_argument("--ablation", type=Path, required=True)
    parser.add_argument("--imagenet", type=Path, help="as given to ablation_pep")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--models", nargs="+", default=list(SWITCHES))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    facts = json.loads((options.ablation / "facts.json").read_text())
    folder = options.ablation / "scenes-sweep"
    make_scenes.write(
        folder,
        count=options.scenes,
        size=facts["side"],
        seed=SEED,
        difficulty=make_scenes.Difficulty(*facts["difficulty"], tuple(facts["classes"])),
    )
    data = load([], scenes(folder), facts["side"])
    plan = Plan(data.categories, data.ids, facts["side"], facts["width"], facts["choices"])
    body = Body.of(options.imagenet)
    results: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((options.ablation / "cells").glob("crowd-*.pt")):
        name = path.stem.split("-")[1]
        if name in options.models and name in SWITCHES:
            model: Any = build(name, plan, body)
            model.load_state_dict(torch.load(path, weights_only=True), strict=False)
            usual = model.options
            for choice in CHOICES:
                if choice.keys() == {"sigma"} and SWITCHES[name][1]:
                    continue  # merged, nothing is left to suppress
                if all(name in CONCERNS.get(key, SWITCHES) for key in choice):
                    model.options = replace(usual, **choice)
                    results.setdefault(f"{name} | {_title(choice)}", []).append(
                        measure(model, data)
                    )
    _write(results, options.ablation)
    return 0


def _title(choice: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v}" for k, v in choice.items()) or "as it is"


def _write(results: dict[str, list[dict[str, Any]]], out: Path) -> None:
    rows = [f"| model | choice | seeds | {' | '.join(SHOWN)} |", "|---" * (3 + len(SHOWN)) + "|"]
    for title, cells in results.items():
        means = [fmean(cell.get(name, 0.0) for cell in cells) for name in SHOWN]
        rows.append(f"| {title} | {len(cells)} | " + " | ".join(f"{m:.4f}" for m in means) + " |")
    (out / "sweep.md").write_text("\n".join(rows) + "\n")
    (out / "sweep.json").write_text(json.dumps(results, indent=1))
    print("\n".join(rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
