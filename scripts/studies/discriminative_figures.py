"""The figures and tables of scripts/studies/discriminative.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from PIL import Image

from segcli.types import Batch

matplotlib.use("Agg")

SCALE = 2  # px of a picture's px
COLUMNS = ("AP", "AP50", "PQ", "PQ, true classes", "recall, touching", "recall, apart")
BANDWIDTHS = (0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0)


def coloured(ids: np.ndarray) -> np.ndarray:
    """Objects (h, w) in colours of their own, uint8 (h, w, 3); none is black."""
    hue = (ids * 0.618 % 1)[..., None] * 2 * np.pi
    colours = 150 + 100 * np.cos(hue + np.array([0, 2.1, 4.2]))
    return np.where(ids[..., None] > 0, colours, 0).astype(np.uint8)


def photo(batch: Batch) -> np.ndarray:
    return batch.pixels[0].permute(1, 2, 0).numpy()


def pictures(rows: list[tuple[Batch, np.ndarray, Any, Any, Any]], path: Path) -> None:
    """A row for each picture: itself, truth, components, discriminative, watershed."""
    lines = []
    for batch, *maps in rows:
        lines.append(np.concatenate([photo(batch), *(coloured(ids) for ids in maps)], 1))
    save(np.concatenate(lines), path)


@torch.inference_mode()
def landscape(model: Any, batch: Batch, path: Path) -> None:
    """A picture, the directions found in it as colours, and the levels, bright in the middle."""
    dense = model(batch)
    inside = dense.logits.argmax(1, keepdim=True) < dense.logits.shape[1] - 1
    size = batch.pixels.shape[-2:]
    inside = torch.nn.functional.interpolate(inside.float(), size)[:, 0] > 0.5
    levels = model.levels(dense.directions, inside).argmax(1)[0].numpy()
    angle = torch.atan2(dense.directions[0, 1], dense.directions[0, 0]).numpy()
    hues = 127 + 120 * np.cos(angle[..., None] + np.array([0, 2.1, 4.2]))
    hues *= inside[0].numpy()[..., None]
    grey = np.repeat((levels * 255 / max(1, levels.max()))[..., None], 3, 2)
    save(np.concatenate([photo(batch), hues.astype(np.uint8), grey.astype(np.uint8)], 1), path)


def save(pixels: np.ndarray, path: Path) -> None:
    image = Image.fromarray(pixels)
    image = image.resize((image.width * SCALE, image.height * SCALE), Image.Resampling.NEAREST)
    image.quantize(96).save(path, optimize=True)


def write_tables(results: dict[str, Any], path: Path) -> None:
    """Markdown: a table of models for each data set, and one of bandwidths."""
    lines = []
    for name in ("scenes", "blobs"):
        lines += [f"| {name} | {' | '.join(COLUMNS)} |", "|---|" + "---|" * len(COLUMNS)]
        for title, scores in results[name]["models"].items():
            lines.append(f"| {title} | {' | '.join(f'{scores[c]:.3f}' for c in COLUMNS)} |")
        titles = " | ".join(map(str, BANDWIDTHS))
        lines += [
            "",
            f"| PQ on {name}, true classes; bandwidth | {titles} |",
            "|---|" + "---|" * len(BANDWIDTHS),
        ]
        for method, values in results[name]["bandwidths"].items():
            lines.append(f"| {method} | {' | '.join(f'{v:.3f}' for v in values)} |")
        lines.append("")
    path.write_text("\n".join(lines))


def plot(results: dict[str, Any], out: Path) -> None:
    """PQ over the bandwidth, and AP and PQ over the dimension."""
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for name, style in (("scenes", "-"), ("blobs", "--")):
        for method, colour in (("ours", "tab:blue"), ("authors", "tab:orange")):
            values = results[name]["bandwidths"][method]
            left.plot(
                BANDWIDTHS, values, style, color=colour, marker=".", label=f"{name}, {method}"
            )
    left.set(xlabel="bandwidth", ylabel="panoptic quality, true classes", ylim=(0, None))
    left.axvline(1.5, color="grey", linewidth=0.5)
    left.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), ncol=2)
    models = results["scenes"]["models"]
    named = [name for name in models if name.startswith("discriminative")]
    for index, measure in enumerate(("PQ", "PQ, true classes")):
        places = np.arange(len(named)) + 0.4 * index - 0.2
        right.bar(places, [models[name][measure] for name in named], 0.38, label=measure)
    right.set_xticks(range(len(named)), [name.split()[-1] for name in named])
    right.set(xlabel="dimensions (crowded scenes)", ylim=(0, 1))
    right.legend(fontsize=7)
    figure.savefig(out / "clustering_plots.png", dpi=100)
    plt.close(figure)
