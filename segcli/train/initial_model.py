"""The model at the start of a training, filled with the initial weights that fit."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from segcli.errors import UsageError
from segcli.keypoints import Skeleton
from segcli.models import checkpoint, registry
from segcli.plugin import Adaptable, Calibratable, Freezable, Staged, Trainable
from segcli.startup import import_torchvision
from segcli.train.augment import Augmentation
from segcli.train.data import AnnotatedImage
from segcli.train.loader import load_epoch, plan_epoch
from segcli.types import ModelInfo

_CALIBRATION = 8  # images


@dataclass(frozen=True, slots=True)
class InitialModel:
    """A model to be trained; `learned` names the parameters that hold initial weights, and
    `fresh` is true where these are at most the body of a classifier."""

    model: Trainable
    learned: frozenset[str]
    fresh: bool


def describe(
    model: str | None,
    categories: Sequence[str],
    ids: Sequence[int],
    side: tuple[int, int],
    skeleton: Skeleton | None = None,
) -> ModelInfo:
    """The info of a new model: the variant's own, for these categories and this test size.

    `side` is (short, long) px of the content at prediction. `skeleton` replaces the variant's, if
    the variant finds keypoints.
    """
    _, info = registry.find(model)
    resize = replace(info.resize, short=side[0], long=side[1])
    info = replace(info, categories=tuple(categories), category_ids=tuple(ids), resize=resize)
    if info.keypoints is not None and skeleton is not None:
        info = replace(info, keypoints=skeleton.names, skeleton=skeleton.lines)
    return info


def begin(
    info: ModelInfo, initial: Path | None, *, seed: int, frozen: int | None = None
) -> InitialModel:
    """Build the model with random weights, then load the initial weights that fit.

    `frozen` stages of the body do not learn; None: a model that is Freezable keeps the first layers
    of a body from image classification.

    `initial` is segcli's safetensors or a published checkpoint; tensors of another shape (a head
    for other categories) stay random. Raises UsageError when nothing fits, or when the family
    cannot be trained.
    """
    family, _ = registry.find(f"{info.family}/{info.variant}")
    import_torchvision()
    torch.manual_seed(seed)
    model = family.build(info)
    if not isinstance(model, Trainable):
        raise UsageError(f"{info.family}/{info.variant} cannot be trained: it has no losses")
    if frozen is not None:
        _freeze(model, frozen)
    if initial is None:
        if frozen:
            raise UsageError("`frozen` keeps initial weights as they are, and there are none")
        return InitialModel(model, frozenset(), fresh=True)
    if checkpoint.read_info(initial) is not None:
        _, state = checkpoint.load(initial)
    else:
        state = family.convert(checkpoint.read_published(initial), info)
    if isinstance(model, Adaptable):
        model.adapt(state)
    ours = model.state_dict()
    fitting = {k: v for k, v in state.items() if k in ours and v.shape == ours[k].shape}
    if not fitting:
        raise UsageError(
            f"nothing in {initial} fits {info.family}/{info.variant}; it begins with "
            f"{', '.join(sorted(state)[:3])}, the model with {', '.join(sorted(ours)[:3])}"
        )
    model.load_state_dict(fitting, strict=False)
    if frozen and isinstance(model, nn.Module):
        _refuse_random_stages(model, fitting, str(initial))
    fresh = len(fitting) < 0.9 * len(ours)  # more than a last layer is missing
    if frozen is None and fresh and isinstance(model, Freezable):
        model.freeze_stem()
    return InitialModel(model, frozenset(fitting), fresh)


def _freeze(model: Trainable, count: int) -> None:
    if not isinstance(model, Staged):
        name = f"{model.info.family}/{model.info.variant}"
        raise UsageError(f"{name} has no stages that can be frozen; leave out `frozen`")
    model.freeze_stages(count)


def _refuse_random_stages(model: nn.Module, learned: Collection[str], source: str) -> None:
    """Raises UsageError if a parameter that is frozen has no initial weight."""
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    if random := [name for name in frozen if name not in learned]:
        raise UsageError(
            f"{source} has no weights for {len(random)} of the {len(frozen)} tensors that `frozen` "
            f"would keep as they are, such as {random[0]}: they would stay random; freeze fewer "
            "stages, or give other weights"
        )


def calibrate(beginning: InitialModel, rows: Sequence[AnnotatedImage], *, seed: int) -> None:
    """Let a model that is Calibratable fit its fresh layers to a few images."""
    model = beginning.model
    if not (beginning.fresh and isinstance(model, Calibratable)):
        return
    stride = model.info.stride
    plans = plan_epoch(
        rows, batch_size=_CALIBRATION, short=(320, 320), stride=stride, seed=seed, epoch=0
    )
    plain = Augmentation.none()
    for batch, _ in load_epoch(rows, plans[:1], augmentation=plain, seed=seed, epoch=0, workers=1):
        model.calibrate(batch)
