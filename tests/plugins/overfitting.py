"""Learning two real images by heart: what shows that a family's losses lead to its predictions."""

from collections.abc import Iterable
from pathlib import Path

import torch

from segcli.masks import rle
from segcli.masks.sampling import segments
from segcli.plugin import Trainable
from segcli.train.augment import Augmentation
from segcli.train.data import AnnotatedImage, DataSet, categories_of, read_dataset
from segcli.train.loader import BatchPlan, load_epoch
from segcli.types import Batch, Targets

LARGE = 0.05  # of the canvas: the objects that a toy can see
Pair = tuple[Batch, list[Targets]]


def two_images(data: Path, side: int) -> tuple[Pair, tuple[str, ...]]:
    """The first two validation images that have two objects, both large, on square canvases
    of `side` px; and the names of their categories, which the labels index."""
    dataset = DataSet(data / "coco80_val/images", data / "coco80_val/annotations.json")
    names, _ = categories_of([dataset.annotations])
    found: list[AnnotatedImage] = []
    for row in read_dataset(dataset, names):
        if len(row.annotations) == 2 and not any(a.crowd for a in row.annotations):
            _, (target,) = _load([row], side)
            if len(target.masks) and target.masks.float().mean((1, 2)).min() > LARGE:
                found.append(row)
        if len(found) == 2:
            break
    batch, targets = _load(found, side)
    used = sorted({int(label) for target in targets for label in target.labels})
    ours = [_relabelled(target, used) for target in targets]
    return (batch, ours), tuple(names[i] for i in used)


def _load(rows: list[AnnotatedImage], side: int) -> Pair:
    plan = BatchPlan(tuple(range(len(rows))), (side, side))
    (pair,) = load_epoch(
        rows, [plan], augmentation=Augmentation.none(), seed=0, epoch=0, workers=1
    )  # fmt: skip
    return pair


def _relabelled(target: Targets, used: list[int]) -> Targets:
    labels = torch.tensor([used.index(int(label)) for label in target.labels])
    return Targets(labels, target.boxes, target.masks, target.crowd)


def learn(model: Trainable, pair: Pair, *, steps: int, rate: float, every: int = 20) -> float:
    """AP50 after at most `steps` of Adam; ends early, looking every so many steps, at 1.

    Every parameter has got a gradient by then. One thread: a toy's tensors are so small that
    several threads mostly wait for one another, on a busy machine for minutes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _learn(model, pair, steps=steps, rate=rate, every=every)
    finally:
        torch.set_num_threads(threads)


def _learn(model: Trainable, pair: Pair, *, steps: int, rate: float, every: int) -> float:
    learned = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(learned, lr=rate)
    reached = 0.0
    for step in range(1, steps + 1):
        model.train()
        optimiser.zero_grad()
        sum(model.losses(*pair).values()).backward()
        torch.nn.utils.clip_grad_norm_(learned, 10.0)
        if step == 1:
            assert all(p.grad is not None and p.grad.isfinite().all() for p in learned)
        optimiser.step()
        if step % every == 0:
            reached = mask_ap50(model, pair)
            if reached == 1:
                break
    return reached


def mask_ap50(model: Trainable, pair: Pair) -> float:
    """Mean over the categories of the average precision at a mask IoU of 1/2."""
    batch, targets = pair
    model.eval()
    found = model.predict(batch, min_score=0.05, max_masks=100)
    ranked: dict[int, list[tuple[float, bool]]] = {}
    total: dict[int, int] = {}
    for instances, target, content in zip(found, targets, batch.content_sizes, strict=True):
        free = set(range(len(target.labels)))
        for label in target.labels.tolist():
            total[label] = total.get(label, 0) + 1
        for segment in segments(instances, content_size=content, image_size=content):
            mask = torch.from_numpy(rle.decode(segment.rle, *content))
            hits = [t for t in free if target.labels[t] == segment.label]
            hits = [t for t in hits if _iou(mask, target.masks[t]) >= 0.5]
            free -= set(hits[:1])
            ranked.setdefault(segment.label, []).append((segment.score, bool(hits)))
    return sum(_average_precision(ranked.get(k, []), n) for k, n in total.items()) / len(total)


def _iou(mask: torch.Tensor, truth: torch.Tensor) -> float:
    truth = truth[: mask.shape[0], : mask.shape[1]]
    return float((mask & truth).sum() / (mask | truth).sum())


def _average_precision(ranked: Iterable[tuple[float, bool]], total: int) -> float:
    """The mean of the precision at each object found; none for those missed."""
    hits, gained = 0, 0.0
    for rank, (_, hit) in enumerate(sorted(ranked, reverse=True), 1):
        hits += hit
        gained += hit * hits / rank
    return gained / total
