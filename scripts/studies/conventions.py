"""What each switch of `Conventions` changes in the AP of a trained two-stage model.

python -m scripts.studies.conventions --images FOLDER --annotations ANN.json [--categories A,B]
[--model NAME]: the model is measured as it was trained, and then with one switch at a time as
another implementation has it. The differences are those of a wrong choice for these weights, not of
a training with it. The filter for shrinking matters only where the model's size is smaller than the
images.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from segcli.models.registry import load_model
from segcli.train.measure import Measured, measure
from segcli.train.sources import Validation
from segcli_blocks.rcnn.conventions import Conventions

CPU = torch.device("cpu")

# What is changed -> the fields; the first implementation that does so is named in the title.
SWITCHES: dict[str, dict[str, Any]] = {
    "anchors rounded to whole px (torchvision)": {"round_anchors": True},
    "RoIAlign not shifted by half a cell (torchvision)": {"aligned": False},
    "RoIAlign with 2 x 2 samples in a bin (torchvision)": {"sampling_ratio": 2},
    "RoIAlign with as many samples as cells (detectron2)": {"sampling_ratio": 0},
    "proposals suppressed by logit (detectron2)": {"rank_logits": True},
    "regions of 224 px use the map of stride 16 (the others)": {"canonical": 224.0},
    "1000 proposals (the others)": {"per_level": (1000, 2000), "proposals": (1000, 2000)},
}


def main(arguments: Sequence[str]) -> int:
    options = parsed(arguments)
    names = None if options.categories is None else frozenset(options.categories.split(","))
    validation = Validation("images", options.images, options.annotations, names)
    lines: list[tuple[str, Measured]] = []
    for title, changes in [("as trained", dict[str, Any]()), *SWITCHES.items()]:
        lines.append((title, measured(options.model, validation, changes)))
        print(title, f"{lines[-1][1].ap:.4f}", file=sys.stderr, flush=True)
    plain = measured(options.model, validation, {}, antialias=False)
    lines.append(("images shrunk without antialiasing (torchvision)", plain))
    print(table(lines))
    return 0


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True, help="COCO JSON")
    parser.add_argument("--categories", default=None, help="names; by default all of the model")
    parser.add_argument("--model", default=None, help="by default the one that ships")
    return parser.parse_args(arguments)


def measured(
    name: str | None, validation: Validation, changes: dict[str, Any], *, antialias: bool = True
) -> Measured:
    """The model with `changes` to its conventions. Raises ValueError for one without them."""
    model = load_model(name, None).model
    found = 0
    for module in model.modules():  # type: ignore[attr-defined]
        own = getattr(module, "conventions", None)
        if isinstance(own, Conventions):
            module.conventions = replace(own, **changes)
            found += 1
    if not found:
        raise ValueError(f"{model.info.family}/{model.info.variant} is not a two-stage model")
    if not antialias:
        resize = replace(model.info.resize, antialias=False)
        model.info = replace(model.info, resize=resize)
    return measure(model, validation, device=CPU, precision="float32")


def table(lines: Sequence[tuple[str, Measured]]) -> str:
    """AP and AP50 in %, and the difference from the first line in points."""
    first = lines[0][1]
    rows = ["| switch | AP | AP50 | change of AP |", "|---|---|---|---|"]
    for title, one in lines:
        change = "" if one is first else f"{100 * (one.ap - first.ap):+.2f}"
        rows.append(f"| {title} | {100 * one.ap:.2f} | {100 * one.ap50:.2f} | {change} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
