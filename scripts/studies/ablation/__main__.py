"""PEP's ablation: baseline, + excavating, + purifying, both, from several seeds at one budget.

On crowded scenes that it draws itself (scripts/data/make_scenes.py) or, with --on real, on the real
images under $SEGCLI_DATA. Every cell (data, model, seed) writes FOLDER/cells/NAME.json when it is
done; a second run does what is missing, and several at once share it. Then it writes
FOLDER/table.md, table.json and plots.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from scripts.data import make_scenes
from scripts.studies.ablation.cell import Budget, Data, joined, load, measure, scenes, train
from scripts.studies.ablation.models import FAMILIES, SWITCHES, Body, Plan, build
from scripts.studies.ablation.report import put_into, write_report
from segcli.train.data import DataSet

ROOT = Path(__file__).resolve().parents[3]
DATA_SEEDS = {"train": 1, "val": 2}
REAL = frozenset({"person"})  # of the others there are too few to learn at such budgets


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    cells = options.out / "cells"
    cells.mkdir(parents=True, exist_ok=True)
    facts = _facts(options)
    _check_facts(options.out / "facts.json", facts)
    if not options.report:
        body = Body.of(options.imagenet)
        for kind in options.on:
            wanted = [c for c in _cells(options, kind) if not (cells / f"{c[0]}.json").exists()]
            if wanted:
                _run(wanted, _data(options, kind), cells, body, options)
    write_report(cells, options.out, facts)
    if options.into is not None:
        put_into(options.into, options.out)
    print((options.out / "table.md").read_text())
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.studies.ablation", description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, required=True)
    add("--imagenet", type=Path, help="torchvision's mobilenet_v2 weights, for a frozen body")
    add("--seeds", type=int, default=3)
    add("--steps", type=int, default=1500)
    add("--batch", type=int, default=4)
    add("--rate", type=float, default=1.5e-3)
    add("--side", type=int, default=128, help="px of scenes and canvases")
    add("--width", type=int, default=64, help="channels; the paper has 256")
    add("--scenes", type=int, default=1000, help="for training; a quarter more to measure on")
    add("--difficulty", type=float, nargs=3, default=[0.6, 6.0, 0.5],
        metavar=("OVERLAP", "OBJECTS", "SCALE"), help="as make_scenes.py has them")  # fmt: skip
    add("--classes", nargs="+", default=["person", "car", "blob"], choices=make_scenes.CLASSES)
    add("--choice", action="append", default=[], metavar="NAME=JSON",
        help="another value for one of PEP's choices, e.g. core=0.3")  # fmt: skip
    add("--families", action="store_true", help=f"also {', '.join(FAMILIES)}")
    add("--on", nargs="+", default=["crowd"], choices=["crowd", "real"],
        help="drawn scenes, or the real images under $SEGCLI_DATA")  # fmt: skip
    add("--trained", type=Path, help="an earlier --out: measure its models anew, train nothing")
    add("--only", nargs="+", help="of the models, these")
    add("--threads", type=int, default=1)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--report", action="store_true", help="train nothing, only write the table and plots")
    add("--into", type=Path, metavar="PAGE", help="put table and plots into this Markdown page")
    return parser.parse_args(arguments)


def _choices(options: argparse.Namespace) -> dict[str, object]:
    pairs = (choice.split("=", 1) for choice in options.choice)
    return {name: json.loads(value) for name, value in pairs}


def _facts(options: argparse.Namespace) -> dict[str, Any]:
    names = ("steps", "batch", "rate", "side", "width", "scenes", "difficulty", "classes")
    facts = {name: getattr(options, name) for name in names}
    body = "ResNet-18/4, learning" if options.imagenet is None else "MobileNetV2, frozen"
    return {**facts, "body": body, "choices": _choices(options)}


def _check_facts(path: Path, facts: dict[str, Any]) -> None:
    """Cells of other settings must not end in one table."""
    if path.exists() and (there := json.loads(path.read_text())) != facts:
        changed = {k: (there.get(k), v) for k, v in facts.items() if there.get(k) != v}
        sys.exit(f"ablation_pep: {path} was made with other settings {changed}; take another --out")
    path.write_text(json.dumps(facts, indent=1))


def _cells(options: argparse.Namespace, kind: str) -> Iterator[tuple[str, str, int]]:
    """Name, model and seed; seed by seed, so that what is there can be compared at any time."""
    models = [*SWITCHES, *(FAMILIES if options.families else ())]
    for seed in range(options.seeds):
        for model in options.only or models:
            yield f"{kind}-{model}-{seed}", model, seed


def _claim(cells: Path, name: str) -> bool:
    """Whether this run may do the cell: it is not done, and no other living run has claimed it."""
    if (cells / f"{name}.json").exists():
        return False
    claim = cells / f"{name}.claim"
    try:
        with claim.open("x") as file:
            file.write(str(os.getpid()))
        return True
    except FileExistsError:
        owner = claim.read_text()
    try:
        os.kill(int(owner), 0)
    except (ProcessLookupError, ValueError):
        claim.write_text(str(os.getpid()))
        return True
    return False


def _data(options: argparse.Namespace, kind: str) -> Data:
    if kind == "real":
        home = Path(os.environ.get("SEGCLI_DATA", ROOT / "../shared/data"))
        if not home.is_dir():
            sys.exit("ablation_pep: --on real needs the images; set SEGCLI_DATA to their folder")
        person = DataSet(
            home / "person_train/images",
            home / "person_train/annotations.json",
            frozenset({"person"}),
        )
        coco = [scenes(home / f"coco80_{part}") for part in ("train", "val")]
        return load([coco[0], person], coco[1], options.side, only=REAL)
    folders = {name: options.out / f"scenes-{name}" for name in DATA_SEEDS}
    for name, folder in folders.items():
        if not (folder / "annotations.json").exists():
            make_scenes.write(
                folder,
                count=options.scenes if name == "train" else max(1, options.scenes // 4),
                size=options.side,
                seed=DATA_SEEDS[name],
                difficulty=make_scenes.Difficulty(*options.difficulty, tuple(options.classes)),
            )
    return load([scenes(folders["train"])], scenes(folders["val"]), options.side)


def _run(
    wanted: Sequence[tuple[str, str, int]],
    data: Data,
    cells: Path,
    body: Body,
    options: argparse.Namespace,
) -> None:
    budget = Budget(options.steps, options.batch, options.rate, options.side)
    plan = Plan(data.categories, data.ids, options.side, options.width, _choices(options))
    for name, model_name, seed in wanted:
        if not _claim(cells, name):
            continue
        start = time.perf_counter()
        torch.manual_seed(seed)
        model = build(model_name, plan, body).to(options.device)
        if options.trained is None:
            if options.imagenet is not None:  # as `segcli train` fits the pyramid to such a body
                model.calibrate(joined(data.train[:8], mirrored=False)[0])
            figures = train(model, data, budget, seed)
        else:
            model.load_state_dict(torch.load(options.trained / f"cells/{name}.pt"), strict=False)
            figures = {}
        torch.save(_learned(model), cells / f"{name}.pt")
        result = {
            "data": name.partition("-")[0],
            "model": model_name,
            "seed": seed,
            "categories": data.categories,
            "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
            **figures,
            **measure(model, data),
            "wall_s": round(time.perf_counter() - start, 1),
            "load": os.getloadavg()[0],
        }
        staged = cells / f"{name}.json.new"
        staged.write_text(json.dumps(result, indent=1))
        staged.replace(cells / f"{name}.json")
        (cells / f"{name}.claim").unlink()
        print(f"{name}: AP {result.get('AP', 0):.4f}, {result['wall_s']} s", flush=True)


def _learned(model: Any) -> dict[str, torch.Tensor]:
    return {k: v for k, v in model.state_dict().items() if not k.startswith("backbone.body.body.")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
