"""PEP: Perceive, Excavate and Purify (Su, Yin, Chen, Luo 2023), in reading order.

Every pixel of the pyramid represents one object: perceiving predicts its class and a descriptor,
and confident pixels give the original descriptors. Excavating searches around each for centres of
objects that it hides, and derives a descriptor for each from a copy. Purifying links and merges
descriptors of the same object, in place of NMS. A descriptor is a 1x1 convolution that computes its
mask.

Letters: B images, C categories, D channels of a descriptor, n descriptors of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from segcli.types import Batch, Instances, ModelInfo, Size, Targets
from segcli_blocks.backbone import Backbone
from segcli_blocks.nms import matrix_nms
from segcli_blocks.normalize import Normalize
from segcli_blocks.segmenter import BaseSegmenter, Selection, keep_categories
from segcli_blocks.soft_masks import dynamic_conv
from segcli_blocks.targets import labels_of
from segcli_pep import losses as learning
from segcli_pep.excavate import Excavate
from segcli_pep.masks import GeneralFeature, maskness, windows
from segcli_pep.perceive import Descriptors, Perceive, Perceived, originals
from segcli_pep.purify import Merging, Purify, groups, merged
from segcli_pep.targets import Sampling, Truth, centre_targets, sample, taught_keys, truth_of


@dataclass(frozen=True, slots=True)
class Options:
    """Choices that the paper leaves open [D]; README.md lists those that were measured."""

    sampling: Sampling
    width: int = 256  # D: channels of pyramid, towers and descriptors (the paper's)
    depth: int = 4  # layers of a tower (the paper's)
    hidden: int = 64  # channels of the network that looks around an original
    window: int = 15  # its side, in pixels of the original's level
    sees: bool = False  # whether mined descriptors read the pyramid at their key pixel
    confident: float = 0.3  # class confidence of an original; less where less is asked for
    most_originals: int = 100
    # Confidence of a key pixel. The focal loss leaves even sure centres below 1/2 for long: at 0.2
    # four fifths of the key pixels were centres, at 0.5 there were none (docs/methods-pep.md).
    key: float = 0.2
    most_keys: int = 5  # of one original
    linked: float = 0.5  # adjacency above which two descriptors are one object
    # "components" joins neighbours by chains, and blends their descriptors into one that draws
    # neither: it cost a trained model a quarter of its AP.
    merging: Merging = "best"
    sigma: float | None = 2.0  # of Matrix NMS' Gaussian, where nothing is purified; None: linear
    suppress_purified: bool = False  # Matrix NMS after purifying, too
    gamma: float = 0.0  # focal weighting of the class maps
    dice: float = 3.0  # weight of the dice loss relative to the cross-entropy of masks


class PEP(BaseSegmenter):
    """The whole network; without `excavate` and `purify`, the paper's baseline."""

    def __init__(
        self,
        info: ModelInfo,
        *,
        backbone: Backbone,
        normalize: Normalize,
        options: Options,
        excavate: bool = True,
        purify: bool = True,
    ) -> None:
        super().__init__(info, normalize)
        self.backbone = backbone
        self.options = options
        width, depth, classes = options.width, options.depth, len(info.categories)
        self.perceive = Perceive(width, classes, width=width, depth=depth)
        self.general = GeneralFeature(width, width, depth=depth)
        self.excavate = (
            Excavate(
                width, classes, hidden=options.hidden, window=options.window, sees=options.sees
            )
            if excavate
            else None
        )
        self.purify = Purify(width) if purify else None

    def static(self, x: Tensor) -> list[Tensor]:
        """See segcli.plugin.Compilable: what is perceived, and the features of masks."""
        maps = self.backbone(x)
        return [*self.perceive(maps).tensors, self.general(maps)]

    def forward(self, batch: Batch) -> tuple[Perceived, Tensor]:
        """What is perceived, and features (B, D, H/4, W/4)."""
        *tensors, features = self.dense(batch)
        return Perceived.of(tensors), features

    # Inference.

    def answer(self, batch: Batch, selection: Selection) -> list[Instances]:
        """A score is class confidence times maskness."""
        perceived, features = self(batch)
        answers = []
        for b, content in enumerate(batch.content_sizes):
            one = perceived.image(b)
            above = min(self.options.confident, max(selection.min_score, 0.0))
            most, categories = self.options.most_originals, selection.categories
            found = originals(one, content, above=above, most=most, categories=categories)
            if self.excavate is not None:
                found = found.and_(self.excavated(one, found, content, categories))
            if self.purify is not None:
                found = self.purified(found)
            answers.append(self.instances(found, features[b], content, selection))
        return answers

    def excavated(
        self,
        one: Perceived,
        found: Descriptors,
        content: Size,
        categories: frozenset[int] | None = None,
    ) -> Descriptors:
        """What is mined around the originals of one image."""
        assert self.excavate is not None
        options = self.options
        logits = self.excavate.centres(one.vectors, found)
        keys = self.excavate.key_pixels(
            logits, found, content, above=options.key, most=options.most_keys
        )
        vectors, classes = self.excavate.mined(one.vectors, found, keys)
        probability = keep_categories(classes.softmax(1)[:, 1:], categories)
        score, label = probability.max(1)
        level = found.level[keys.owner]
        mined = Descriptors(vectors, label, score * keys.scores, level, keys.row, keys.column)
        return mined.at(mined.scores > 0)

    def purified(self, found: Descriptors) -> Descriptors:
        """Refined by the graph, and merged where they mean one object."""
        assert self.purify is not None
        logits = self.purify.adjacency(found.vectors)
        vectors = self.purify.refined(found.vectors, logits)
        refined = replace(found, vectors=vectors)
        adjacency = logits.sigmoid()
        group = groups(adjacency, refined, above=self.options.linked, merging=self.options.merging)
        return merged(refined, group, mean=self.options.merging == "components")

    def instances(
        self, found: Descriptors, features: Tensor, content: Size, selection: Selection
    ) -> Instances:
        """The masks of one image's descriptors on its features (D, H/4, W/4), best first."""
        logits = dynamic_conv(found.vectors, features)
        mean, area = maskness(logits, content)
        seen = (area > 0).nonzero()[:, 0]
        scores = (found.scores * mean)[seen].float()
        labels, logits = found.labels[seen], logits[seen]
        if self.purify is None or self.options.suppress_purified:
            order = scores.argsort(descending=True, stable=True)
            labels, logits = labels[order], logits[order]
            scores = matrix_nms(logits > 0, labels, scores[order], sigma=self.options.sigma)
        kept = selection.best(scores)
        fields, extents = windows(logits[kept])
        return Instances(
            scores=scores[kept],
            labels=labels[kept],
            boxes=None,
            fields=fields,
            extents=extents,
            threshold=0.0,
            strict=True,
        )

    # Training.

    def losses(self, batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """See segcli.plugin.Trainable: perceive, mask, and those of the switched-on parts."""
        perceived, features = self(batch)
        sizes = [(x.shape[2], x.shape[3]) for x in perceived.logits]
        truths = [truth_of(t, sizes, self.options.sampling) for t in targets]
        each = [
            self._losses_of(perceived.image(b), features[b], truth)
            for b, truth in enumerate(truths)
        ]
        means = {
            name: torch.stack([losses[name] for losses, _ in each]).mean() for name in each[0][0]
        }
        # Masks count one by one. What is mined is several times as much, so its masks are a mean of
        # their own: in one mean they take the descriptors' learning over (docs/methods-pep.md).
        for name in each[0][1]:
            drawn = torch.cat([masks[name] for _, masks in each])
            means[name] = drawn.sum() / max(1, len(drawn))
        return {
            "perceive": learning.perceive_loss(perceived, truths, targets, self.options.gamma),
            **means,
        }

    def _losses_of(
        self, one: Perceived, features: Tensor, truth: Truth
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses of one image, and of its masks one by one: (n,) by kind."""
        flat, own = sample(one, truth, self.options.sampling)
        found = one.at(flat)
        vectors, losses = found.vectors, {}
        if self.excavate is not None:
            logits = self.excavate.centres(one.vectors, found)
            wanted, _, _ = centre_targets(found, own, truth, self.excavate.window)
            losses["centre"] = learning.centre_loss(logits, wanted)
            keys, meant = taught_keys(logits, found, own, truth, self.options.sampling)
            mined, classes = self.excavate.mined(one.vectors, found, keys)
            label = labels_of(truth.labels, meant) + 1
            wrong = nn.functional.cross_entropy(classes, label, reduction="sum")
            losses["mined"] = wrong / max(1, len(label))
            vectors, own = torch.cat((vectors, mined)), torch.cat((own, meant))
        if self.purify is not None:
            adjacency = self.purify.adjacency(vectors)
            losses["adjacency"] = learning.adjacency_loss(adjacency, own)
            vectors = self.purify.refined(vectors, adjacency)
        known = own >= 0
        drawn = dynamic_conv(vectors[known], features)
        each = learning.mask_losses(drawn, truth.masks[own[known]], dice_weight=self.options.dice)
        first = int(known[: len(found)].sum())
        masks = {"mask": each[:first]}
        if self.excavate is not None:
            masks["mined_mask"] = each[first:]
        return losses, masks
