"""Study of bandwidth, dimension and touching objects for the two proposal-free families.

Draws crowded scenes and touching blobs, trains toy networks (ResNet-18 of a quarter of its width
from random weights) on each, and writes figures, clustering.json and clustering.md. Everything is
small: differences of a few hundredths are noise, and no number says anything of a full model.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.data import blobs, make_scenes
from scripts.studies import authors_clustering, discriminative_figures
from scripts.studies.panoptic_quality import Tally
from segcli.evaluate import score_records
from segcli.masks import rle
from segcli.masks.sampling import segments
from segcli.train.augment import Augmentation
from segcli.train.data import AnnotatedImage, DataSet, categories_of, read_dataset
from segcli.train.loader import BatchPlan, load_epoch
from segcli.train.loop import Training, train
from segcli.train.recipe import Recipe
from segcli.train.results import coco_results
from segcli.types import Batch, ModelInfo, Resize, Targets
from segcli_blocks.resnet import ResNet
from segcli_blocks.semantic import owners_of
from segcli_discriminative import variants as discriminative
from segcli_discriminative.masks import Clustering, cluster
from segcli_watershed import variants as watershed
from segcli_watershed.masks import Cut, decode

DIMENSIONS = (8, 16, 32)
WIDTH = 32
CPU = torch.device("cpu")
Method = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
COMPONENTS = Cut(level=-1, smallest=20, grown=1)  # nothing but what is connected


def main(arguments: Sequence[str]) -> int:
    options = parsed(arguments)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    draw = {
        "scenes": partial(make_scenes.write, difficulty=make_scenes.Difficulty.of(0.4)),
        "blobs": blobs.write,
    }
    results: dict[str, Any] = {"options": {k: str(v) for k, v in vars(options).items()}}
    for name, write in draw.items():
        for part, count, seed in (("train", options.images, 1), ("val", options.images // 4, 2)):
            if not (options.work / name / part / "annotations.json").exists():
                write(options.work / name / part, count=count, size=options.size, seed=seed)
        results[name] = study(name, options)
    (options.out / "clustering.json").write_text(json.dumps(results, indent=1) + "\n")
    discriminative_figures.write_tables(results, options.out / "clustering.md")
    discriminative_figures.plot(results, options.out)
    return 0


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.studies.discriminative", description=__doc__
    )
    parser.add_argument("--work", type=Path, required=True, help="pictures and weights; kept")
    parser.add_argument("--out", type=Path, required=True, help="figures and tables")
    parser.add_argument("--images", type=int, default=80, help="to train on; a quarter to test")
    parser.add_argument("--size", type=int, default=96, help="px of a side")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args(arguments)


def study(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """All models of one data set: AP, PQ and recall of each; bandwidths of the eight-dimensional
    one; and two pictures."""
    folder = options.work / name
    found: dict[str, Any] = {"models": {}}
    dimensions = DIMENSIONS if name == "scenes" else DIMENSIONS[:1]
    models = {f"discriminative, {n}-d": trained(name, options, n) for n in dimensions}
    models["watershed"] = trained(name, options, None)
    pairs = images_of(folder / "val", options.size)
    for title, model in models.items():
        found["models"][title] = scores(model, folder / "val", pairs)
        found["models"][title]["PQ, true classes"] = told(model, pairs)
    eight, water = models["discriminative, 8-d"], models["watershed"]
    cut = water.options
    water.options = type(cut)(COMPONENTS)
    plain = scores(water, folder / "val", pairs) | {"PQ, true classes": told(water, pairs)}
    found["models"]["connected parts of a class"] = plain
    parts = [ids_of(water, batch)[0] for batch, _ in pairs[:2]]
    water.options = cut
    found["bandwidths"] = bandwidths(eight, pairs[: options.images // 8])
    discriminative_figures.pictures(
        [
            (batch, truth_of(target)[0], part, ids_of(eight, batch)[0], ids_of(water, batch)[0])
            for (batch, target), part in zip(pairs[:2], parts, strict=True)
        ],
        options.out / f"clustering_{name}.png",
    )
    if name == "blobs":
        discriminative_figures.landscape(water, pairs[0][0], options.out / "clustering_levels.png")
    return found


def trained(name: str, options: argparse.Namespace, dimensions: int | None) -> Any:
    """A toy of either family (`dimensions` None: the watershed), trained unless it was before."""
    folder = options.work / name / "train"
    names, ids = categories_of([folder / "annotations.json"])
    resize = Resize(options.size, options.size)
    torch.manual_seed(options.seed)
    body = ResNet(18, lambda channels: nn.GroupNorm(8, channels), width=16)
    if dimensions is None:
        info = ModelInfo("watershed", "toy", names, ids, resize, 32)
        model: Any = watershed.assemble(info, body, width=WIDTH)
    else:
        info = ModelInfo("discriminative", "toy", names, ids, resize, 32)
        model = discriminative.assemble(info, body, width=WIDTH, dimensions=dimensions)
    kept = options.work / f"{name}-{dimensions or 'watershed'}-{options.seed}.pt"
    if not kept.exists():
        rows = read_dataset(DataSet(folder / "images", folder / "annotations.json"), names)
        side = (options.size, options.size)
        recipe = Recipe(
            options.epochs, 4, 2e-3, warmup=20, average=0.98, short=side, seed=options.seed,
            augmentation=Augmentation(scale=(1.0, 1.0), colour=0.1, paste=0.0),
        )  # fmt: skip
        state = train(model, Training(rows, recipe, kept.with_suffix(""), CPU))
        torch.save(state.average.state, kept)
    model.load_state_dict(torch.load(kept, weights_only=True))
    return model.eval()


def images_of(folder: Path, size: int) -> list[tuple[Batch, Targets]]:
    """The images of a data set, one in a batch."""
    dataset = DataSet(folder / "images", folder / "annotations.json")
    rows: list[AnnotatedImage] = read_dataset(dataset, categories_of([dataset.annotations])[0])
    plans = [BatchPlan((index,), (size, size)) for index in range(len(rows))]
    plain = Augmentation.none()
    loaded = load_epoch(rows, plans, augmentation=plain, seed=0, epoch=0, workers=1)
    return [(batch, targets[0]) for batch, targets in loaded]


def scores(model: Any, folder: Path, pairs: list[tuple[Batch, Targets]]) -> dict[str, float]:
    """COCO's AP, panoptic quality, and the share of the objects that were found (IoU above 1/2)
    among those that touch one of their class and among the others."""
    truth = folder / "annotations.json"
    found = coco_results(model, folder / "images", truth, device=CPU, precision="float32")
    metrics = score_records(found, truth).metrics
    tally = Tally(len(model.info.categories))
    recall = {True: [0, 0], False: [0, 0]}
    for batch, target in pairs:
        ids, labels = ids_of(model, batch)
        owner, classes = truth_of(target)
        tally.add(ids, labels, owner, classes)
        for index, label in enumerate(classes, 1):
            mask = owner == index
            counts = recall[touches(mask, owner, classes, label)]
            counts[0] += best_iou(mask, ids, labels, label) > 0.5
            counts[1] += 1
    share = {key: hits / max(1, total) for key, (hits, total) in recall.items()}
    return {
        "AP": metrics["AP"],
        "AP50": metrics["AP50"],
        "PQ": tally.quality(),
        "recall, touching": share[True],
        "recall, apart": share[False],
        "touching": recall[True][1],
        "apart": recall[False][1],
    }


def ids_of(model: Any, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """A map of objects (h, w) from 1, the better over the worse, and their classes."""
    (found,) = model.predict(batch, min_score=0.05, max_masks=200)
    size = batch.content_sizes[0]
    parts = segments(found, content_size=size, image_size=size)
    ids = np.zeros(size, dtype=np.int64)
    for number, segment in reversed(list(enumerate(parts, 1))):
        ids[rle.decode(segment.rle, *size)] = number
    return ids, np.array([segment.label for segment in parts], dtype=np.int64)


def truth_of(target: Targets) -> tuple[np.ndarray, np.ndarray]:
    owner, _ = owners_of(target, stride=1)
    return owner.numpy() + 1, target.labels.numpy()


def touches(mask: np.ndarray, owner: np.ndarray, classes: np.ndarray, label: int) -> bool:
    """Whether a px of the mask lies beside one of another object of the class `label`."""
    wide = np.pad(mask, 1)
    near = wide[2:, 1:-1] | wide[:-2, 1:-1] | wide[1:-1, 2:] | wide[1:-1, :-2]
    others = np.unique(owner[near & ~mask & (owner > 0)])
    return bool((classes[others - 1] == label).any())


def best_iou(mask: np.ndarray, ids: np.ndarray, labels: np.ndarray, label: int) -> float:
    shared = np.bincount(ids[mask], minlength=len(labels) + 1)[1:]
    union = np.bincount(ids.ravel(), minlength=len(labels) + 1)[1:] + mask.sum() - shared
    return float((shared / union * (labels == label)).max(initial=0.0))


@torch.inference_mode()
def told(model: Any, pairs: list[tuple[Batch, Targets]]) -> float:
    """PQ where the model is told the true class of every px, and has only to part objects."""
    tally = Tally(len(model.info.categories))
    for batch, target in pairs:
        owner, classes = truth_of(target)
        said = torch.from_numpy(np.append(classes, -1)[owner - 1])
        if hasattr(model, "levels"):
            levels = model.levels(model(batch).directions, said[None] >= 0).argmax(1)[0]
            cuts = [model.options.cut] * len(model.info.categories)
            ids, labels = decode(levels.numpy(), said.numpy(), cuts)
        else:
            embedding = F.interpolate(model(batch)[1], owner.shape, mode="bilinear")[0]
            ids, labels = clustered(embedding, said, ours(1.5))
        tally.add(ids, labels, owner, classes)
    return tally.quality()


def ours(bandwidth: float) -> Method:
    options = Clustering(bandwidth=bandwidth, reach=2 * bandwidth)
    return lambda embedding, inside: cluster(embedding, inside, options)[0]


def clustered(
    embedding: torch.Tensor, said: torch.Tensor, method: Method
) -> tuple[np.ndarray, np.ndarray]:
    """A map of objects from 1 and their classes, each class of `said` (h, w) by itself."""
    ids, labels = np.zeros(said.shape, dtype=np.int64), []
    for label in said[said >= 0].unique().tolist():
        own = method(embedding, said == label).numpy()
        ids = np.where(own > 0, own + len(labels), ids)
        labels += [label] * int(own.max())
    return ids, np.array(labels, dtype=np.int64)


@torch.inference_mode()
def bandwidths(model: Any, pairs: list[tuple[Batch, Targets]]) -> dict[str, list[float]]:
    """PQ, true classes, of ours and of the authors' clustering at each of BANDWIDTHS; embeddings
    are enlarged to single px: the authors leave 100 px over, which would be whole objects in
    cells."""
    found: dict[str, list[float]] = {"ours": [], "authors": []}
    dense = []
    for batch, target in pairs:
        owner, classes = truth_of(target)
        embedding = F.interpolate(model(batch)[1], owner.shape, mode="bilinear")[0]
        said = torch.from_numpy(np.append(classes, -1)[owner - 1])
        dense.append((embedding, said, owner, classes))
    for bandwidth in discriminative_figures.BANDWIDTHS:
        methods = {
            "ours": ours(bandwidth),
            "authors": partial(authors_clustering.cluster, bandwidth=bandwidth),
        }
        for name, method in methods.items():
            tally = Tally(len(model.info.categories))
            for embedding, said, owner, classes in dense:
                tally.add(*clustered(embedding, said, method), owner, classes)
            found[name].append(tally.quality())
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
