"""Measurements inside PEP: hits of key pixels, links, and losses by merging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from segcli.types import Batch, Targets

NEAR = 1  # pixels of its level: a key pixel this near to a centre has hit it


@torch.inference_mode()
def inside_figures(model: Any, items: Sequence[tuple[Batch, Targets]]) -> dict[str, float]:
    """Counts over the images, for PEP alone; see the names."""
    if not hasattr(model, "perceive") or not hasattr(model, "purify"):
        return {}
    sums: dict[str, float] = {}
    for batch, target in items:
        for name, value in _image(model, batch, target).items():
            sums[name] = sums.get(name, 0.0) + value
    n = len(items)
    found = {"originals_per_image": sums["originals"] / n}
    if model.excavate is not None:
        keys = max(1.0, sums["keys"])
        found |= {
            "keys_per_image": sums["keys"] / n,
            "keys_on_a_centre": sums["hits"] / keys,
            "hits_not_yet_found": sums["new"] / max(1.0, sums["hits"]),
            "mined_class_right": sums["right"] / max(1.0, sums["hits"]),
            "mined_iou": sums["mined_iou"] / max(1.0, sums["hits"]),
        }
    found["original_iou"] = sums["original_iou"] / max(1.0, sums["matched"])
    if model.purify is not None:
        found |= {
            "linked_if_same": sums["linked_same"] / max(1.0, sums["same"]),
            "linked_if_other": sums["linked_other"] / max(1.0, sums["other"]),
            "groups_of_several_objects_per_image": sums["mixed"] / n,
            "objects_lost_in_groups_per_image": sums["lost"] / n,
        }
    return found


def _image(model: Any, batch: Batch, target: Targets) -> dict[str, float]:
    from segcli_blocks.soft_masks import dynamic_conv
    from segcli_pep.perceive import originals
    from segcli_pep.targets import truth_of

    options = model.options
    maps = model.backbone(model.normalize(batch))
    one, features = model.perceive(maps).image(0), model.general(maps)[0]
    truth = truth_of(target, [(x.shape[2], x.shape[3]) for x in maps], options.sampling)
    found = originals(
        one, batch.content_sizes[0], above=options.confident, most=options.most_originals
    )
    own = owner_of(found, truth)
    sums = {"originals": float(len(found)), "matched": float((own >= 0).sum())}
    vectors, every = found.vectors, found
    if model.excavate is not None:
        keys = model.excavate.key_pixels(
            model.excavate.centres(one.vectors, found), found, batch.content_sizes[0],
            above=options.key, most=options.most_keys,
        )  # fmt: skip
        mined, classes = model.excavate.mined(one.vectors, found, keys)
        hit = hit_of(found.level[keys.owner], keys, truth)
        label = classes.softmax(1)[:, 1:].argmax(1)
        sums["keys"], sums["hits"] = float(len(hit)), float((hit >= 0).sum())
        sums["new"] = float((~torch.isin(hit[hit >= 0], own)).sum())
        sums["right"] = float((label == _at(truth.labels, hit))[hit >= 0].sum())
        every = found.and_(model.excavated(one, found, batch.content_sizes[0]))
        vectors, own = torch.cat((vectors, mined)), torch.cat((own, hit))
    if model.purify is not None:
        logits = model.purify.adjacency(vectors)
        sums |= _links(logits.sigmoid(), own, every.at(torch.arange(len(own))), options)
        vectors = model.purify.refined(vectors, logits)
    iou = _iou(dynamic_conv(vectors, features) > 0, truth.masks, own)
    first = len(found)
    sums["original_iou"], sums["mined_iou"] = float(iou[:first].sum()), float(iou[first:].sum())
    return sums


def _at(labels: Tensor, index: Tensor) -> Tensor:
    return labels[index.clamp(min=0)] if len(labels) else index


def owner_of(found: Any, truth: Any) -> Tensor:
    """The object (n,) on which each original lies, if it is of its class; -1 else."""
    from segcli_pep.masks import CELL
    from segcli_pep.perceive import STRIDES

    if not len(truth.labels):
        return torch.full_like(found.labels, -1)
    stride = torch.tensor(STRIDES)[found.level]
    h, w = truth.masks.shape[1:]
    row = ((found.row * stride + stride // 2) // CELL).clamp(max=h - 1)
    column = ((found.column * stride + stride // 2) // CELL).clamp(max=w - 1)
    there = truth.masks[:, row, column] & (truth.labels[:, None] == found.labels)  # (T, n)
    return torch.where(there.any(0), there.int().argmax(0), -1)


def hit_of(level: Tensor, keys: Any, truth: Any) -> Tensor:
    """The object (m,) whose centre a key pixel is, or is next to; -1 for none."""
    from segcli_pep.excavate import centre_of

    count, m = len(truth.labels), len(level)
    if not count or not m:
        return torch.full_like(level, -1)
    row, column = centre_of(truth.centres.repeat(m, 1), level.repeat_interleave(count))
    down, right = (
        row.view(m, count) - keys.row[:, None],
        column.view(m, count) - keys.column[:, None],
    )
    far = torch.maximum(down.abs(), right.abs())
    least, which = far.min(1)
    return torch.where(least <= NEAR, which, -1)


def _links(adjacency: Tensor, own: Tensor, every: Any, options: Any) -> dict[str, float]:
    from segcli_pep.purify import groups

    n = len(own)
    pair = torch.ones(n, n, dtype=torch.bool).triu(1) & (own[:, None] >= 0) & (own >= 0)
    same = own[:, None] == own
    linked = adjacency > options.linked
    group = groups(adjacency, every, above=options.linked, merging=options.merging)
    members: dict[int, set[int]] = {}
    for g, o in zip(group.tolist(), own.tolist(), strict=True):
        if o >= 0:
            members.setdefault(g, set()).add(o)
    # An object is lost when each group that holds it has another object as well.
    alone = {next(iter(m)) for m in members.values() if len(m) == 1}
    mixed = [m for m in members.values() if len(m) > 1]
    merged_away = {o for m in mixed for o in m} - alone
    return {
        "same": float((pair & same).sum()),
        "linked_same": float((pair & same & linked).sum()),
        "other": float((pair & ~same).sum()),
        "linked_other": float((pair & ~same & linked).sum()),
        "mixed": float(len(mixed)),
        "lost": float(max(0, len(merged_away) - len(mixed))),
    }


def _iou(found: Tensor, truth: Tensor, own: Tensor) -> Tensor:
    """Of each mask (n, h, w) with its object's; 0 without one."""
    if not len(truth):
        return torch.zeros(len(found))
    wanted = truth[own.clamp(min=0)]
    shared, union = (found & wanted).sum((1, 2)), (found | wanted).sum((1, 2))
    return torch.where(own >= 0, shared / union.clamp(min=1), 0.0)
