"""A picture of each of PEP's four parts: draw_pep.py --ablation FOLDER --out FOLDER.

Takes a model of the ablation (both parts, one seed) and a scene that it has never seen; or, of an
ablation --on real, a --photograph, whose objects are what segcli's default model finds in it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from scripts.data import make_scenes
from scripts.studies.ablation.inside import hit_of, owner_of
from scripts.studies.ablation.models import Body, Plan, build
from segcli import decode
from segcli.pipeline import PredictOptions, predict
from segcli.types import Batch, Targets
from segcli_blocks.soft_masks import dynamic_conv
from segcli_pep.excavate import Keys
from segcli_pep.perceive import STRIDES, Descriptors, Perceived, originals
from segcli_pep.purify import groups, merged
from segcli_pep.targets import Truth, truth_of

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402  # after the choice of a backend

COLOURS = 240  # of the palette that a picture is reduced to, for its size


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that the model thought of one scene."""

    pixels: Any
    truth: Truth
    perceived: Perceived
    features: torch.Tensor
    found: Descriptors
    own: torch.Tensor
    centres: torch.Tensor
    keys: Keys
    mined: Descriptors
    meant: torch.Tensor


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.figures.pep", description=__doc__)
    parser.add_argument("--ablation", type=Path, required=True, help="the folder of ablation_pep")
    parser.add_argument("--imagenet", type=Path, help="as given to ablation_pep")
    parser.add_argument("--seed", type=int, default=0, help="of the model")
    parser.add_argument("--scene", type=int, default=0)
    parser.add_argument("--photograph", type=Path, help="instead of a scene")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    facts = json.loads((options.ablation / "facts.json").read_text())
    model = _model(options, facts)
    if options.photograph is None:
        seen = look(model, *scene(options.scene, facts))
    else:
        seen = look(model, *photograph(options.photograph, model.info.categories, facts["side"]))
    options.out.mkdir(parents=True, exist_ok=True)
    for name, draw in {
        "perceive": perceiving, "excavate": excavating, "purify": purifying, "masks": masks
    }.items():  # fmt: skip
        figure = draw(model, seen)
        path = options.out / f"pep-{'photograph-' if options.photograph else ''}{name}.png"
        figure.savefig(path, dpi=75)
        plt.close(figure)
        with Image.open(path) as image:
            small = image.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
        small.save(path, optimize=True)
        print(f"draw_pep: {path}, {path.stat().st_size // 1000} kB")
    return 0


def _model(options: argparse.Namespace, facts: dict[str, Any]) -> Any:
    kind = "crowd" if options.photograph is None else "real"
    cell = options.ablation / f"cells/{kind}-both-{options.seed}.json"
    names = tuple(json.loads(cell.read_text())["categories"])
    plan = Plan(
        names, tuple(range(1, len(names) + 1)), facts["side"], facts["width"], facts["choices"]
    )
    model = build("both", plan, Body.of(options.imagenet))
    state = torch.load(cell.with_suffix(".pt"), weights_only=True)
    model.load_state_dict(state, strict=False)  # a frozen body is not among them
    return model.eval()


def scene(number: int, facts: dict[str, Any]) -> tuple[Any, Targets]:
    """Pixels (h, w, 3) and objects of one scene of a seed of its own."""
    difficulty = make_scenes.Difficulty(*facts["difficulty"], tuple(facts["classes"]))
    drawn = make_scenes.make_scene(9, number, size=facts["side"], difficulty=difficulty)
    known = [name for name in make_scenes.CLASSES if name in facts["classes"]]
    labels = [known.index(make_scenes.CLASSES[label]) for label in drawn.labels]
    return drawn.pixels, _targets(labels, drawn.masks)


def photograph(path: Path, categories: Sequence[str], side: int) -> tuple[Any, Targets]:
    """Pixels (h, w, 3) of a photograph, made square, and what the default model finds in it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "masks.parquet")
        predict(
            PredictOptions(source=str(path), out=out, min_score=0.5, device="cpu", replicas=0),
            report=print,
        )
        rows = pq.read_table(out, columns=["category", "rle", "height", "width"]).to_pylist()
    size = (side, side)
    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))
    known = [row for row in rows if row["category"] in categories]
    masks = [Image.fromarray(decode(row["rle"], row["height"], row["width"])) for row in known]
    small = [np.array(mask.resize(size, Image.Resampling.NEAREST)) for mask in masks]
    labels = [categories.index(row["category"]) for row in known]
    return pixels, _targets(labels, np.stack(small) if small else np.zeros((0, side, side), bool))


def _targets(labels: Sequence[int], masks: np.ndarray) -> Targets:
    count = len(labels)
    return Targets(
        torch.tensor(labels, dtype=torch.int64), torch.zeros(count, 4), torch.from_numpy(masks),
        torch.zeros(count, dtype=torch.bool),
    )  # fmt: skip


@torch.inference_mode()
def look(model: Any, shown: Any, target: Targets) -> Seen:
    """A square picture (h, w, 3) with these objects, through the model."""
    side = len(shown)
    pixels = torch.from_numpy(shown).permute(2, 0, 1)[None]
    batch = Batch(("picture",), pixels, ((side, side),), ((side, side),))
    maps = model.backbone(model.normalize(batch))
    one, features = model.perceive(maps).image(0), model.general(maps)[0]
    truth = truth_of(target, [(x.shape[2], x.shape[3]) for x in maps], model.options.sampling)
    content, options = batch.content_sizes[0], model.options
    found = originals(one, content, above=options.confident, most=options.most_originals)
    centres = model.excavate.centres(one.vectors, found)
    keys = model.excavate.key_pixels(
        centres, found, content, above=options.key, most=options.most_keys
    )
    mined = model.excavated(one, found, content)
    return Seen(
        pixels=shown, truth=truth, perceived=one, features=features, found=found,
        own=owner_of(found, truth), centres=centres.sigmoid(), keys=keys, mined=mined,
        meant=hit_of(found.level[keys.owner], keys, truth),
    )  # fmt: skip


def _xy(found: Descriptors) -> tuple[np.ndarray, np.ndarray]:
    stride = torch.tensor(STRIDES)[found.level]
    x, y = (found.column + 0.5) * stride, (found.row + 0.5) * stride
    return x.numpy(), y.numpy()


def _axes(count: int) -> Any:
    figure, axes = plt.subplots(1, count, figsize=(2.6 * count, 2.85), constrained_layout=True)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, axes


def perceiving(model: Any, seen: Seen) -> Any:
    """The scene with its originals, and the confidence of the likeliest class on three levels."""
    figure, axes = _axes(4)
    axes[0].imshow(seen.pixels)
    x, y = _xy(seen.found)
    axes[0].scatter(x, y, c=seen.found.labels.numpy(), cmap="tab10", vmin=0, vmax=9, s=26,
                    edgecolors="white", linewidths=0.8)  # fmt: skip
    axes[0].set_title(f"{len(seen.found)} original descriptors", fontsize=9)
    side = seen.pixels.shape[0]
    for level, axis in enumerate(axes[1:]):
        confidence = seen.perceived.logits[level][0].softmax(0)[1:].amax(0)
        rows, columns = (cells * STRIDES[level] for cells in confidence.shape)
        extent = (0, columns, rows, 0)
        axis.imshow(confidence, vmin=0, vmax=1, cmap="magma", extent=extent)
        axis.set_xlim(0, side)
        axis.set_ylim(side, 0)
        axis.set_title(f"class confidence on P{level + 3}", fontsize=9)
    return figure


def excavating(model: Any, seen: Seen) -> Any:
    """The originals that have found most: their window, E in it, and the key pixels."""
    most = torch.bincount(seen.keys.owner, minlength=max(3, len(seen.found)))
    chosen = most.argsort(descending=True, stable=True)[:3].tolist()
    figure, axes = _axes(4)
    x, y = _xy(seen.found)
    mx, my = _xy(seen.mined)
    axes[0].imshow(seen.pixels)
    for key, owner in enumerate(seen.keys.owner.tolist()):
        axes[0].plot([x[owner], mx[key]], [y[owner], my[key]], color="white", linewidth=0.8)
    axes[0].scatter(x, y, c="#2a6fdb", s=22, edgecolors="white", linewidths=0.8)
    hit = seen.meant.numpy() >= 0
    axes[0].scatter(
        mx[hit], my[hit], c="#22c55e", s=55, marker="X", edgecolors="white", linewidths=0.6
    )
    axes[0].scatter(
        mx[~hit], my[~hit], c="#ef4444", s=55, marker="X", edgecolors="white", linewidths=0.6
    )
    axes[0].set_title("mined: on a centre, or not", fontsize=9)
    window = model.excavate.window
    for axis, index in zip(axes[1:], chosen, strict=True):
        if index >= len(seen.found):
            continue
        stride = STRIDES[int(seen.found.level[index])]
        left, top = x[index] - window / 2 * stride, y[index] - window / 2 * stride
        extent = (left, left + window * stride, top + window * stride, top)
        axis.imshow(seen.pixels)
        axis.imshow(seen.centres[index], extent=extent, cmap="magma", alpha=0.6, vmin=0, vmax=1)
        axis.plot(x[index], y[index], "o", color="#2a6fdb", markeredgecolor="white")
        mine = seen.keys.owner.numpy() == index
        axis.plot(mx[mine], my[mine], "x", color="#22c55e", markersize=8, markeredgewidth=2)
        axis.set_xlim(left, left + window * stride)
        axis.set_ylim(top + window * stride, top)
        axis.set_title("centres around one original", fontsize=9)
    return figure


def _purified(model: Any, seen: Seen) -> tuple[Descriptors, torch.Tensor, torch.Tensor]:
    """All descriptors refined, M, and the groups."""
    every = seen.found.and_(seen.mined)
    logits = model.purify.adjacency(every.vectors)
    vectors = model.purify.refined(every.vectors, logits)
    refined = Descriptors(vectors, every.labels, every.scores, every.level, every.row, every.column)
    options = model.options
    group = groups(logits.sigmoid(), refined, above=options.linked, merging=options.merging)
    return refined, logits.sigmoid(), group


@torch.inference_mode()
def purifying(model: Any, seen: Seen) -> Any:
    """M of all descriptors by object, what it should be, and M of what is left."""
    refined, adjacency, group = _purified(model, seen)
    own = torch.cat((seen.own, seen.meant))
    order = torch.where(own < 0, own.max() + 1, own).argsort(stable=True)
    wanted = ((own[:, None] == own) & (own >= 0)).float()
    wanted.fill_diagonal_(1)
    left = merged(refined, group, mean=model.options.merging == "components")
    after = model.purify.adjacency(left.vectors).sigmoid()
    figure, axes = _axes(3)
    n = len(own)
    shown = {
        f"M of {n} descriptors, by object": adjacency[order][:, order],
        "what it should be": wanted[order][:, order],
        f"M of the {len(left)} that are left": after,
    }
    for axis, (title, matrix) in zip(axes, shown.items(), strict=True):
        axis.imshow(matrix, vmin=0, vmax=1, cmap="magma", interpolation="nearest")
        axis.set_title(title, fontsize=9)
    return figure


@torch.inference_mode()
def masks(model: Any, seen: Seen) -> Any:
    """The truth, the masks before purifying, and those after."""
    refined, _, group = _purified(model, seen)
    left = merged(refined, group, mean=model.options.merging == "components")
    figure, axes = _axes(4)
    axes[0].imshow(seen.pixels)
    axes[0].set_title("picture", fontsize=9)
    every = seen.found.and_(seen.mined)
    for axis, title, shapes in (
        (axes[1], f"{len(seen.truth.masks)} object(s)", seen.truth.masks),
        (axes[2], f"{len(every)} masks before", dynamic_conv(refined.vectors, seen.features) > 0),
        (axes[3], f"{len(left)} after purifying", dynamic_conv(left.vectors, seen.features) > 0),
    ):
        axis.imshow(seen.pixels // 3)
        for index, mask in enumerate(shapes):
            large = mask.numpy().repeat(4, 0).repeat(4, 1).astype(float)
            colour = plt.get_cmap("hsv")(index * 0.618 % 1)
            if large.any():
                axis.contour(large, [0.5], colors=[colour], linewidths=1.2)
        axis.set_title(title, fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
