"""What a family of models must provide, and what it may provide; the whole plugin API.

A family is found through the entry-point group "segcli.families"; its module imports no torch.
tests/test_plugins.py holds every installed family to the promises written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from segcli.types import Batch, Instances, ModelInfo, Targets

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@runtime_checkable
class Segmenter(Protocol):
    """A torch.nn.Module with two more promises: its info, and `predict`."""

    info: ModelInfo

    def predict(
        self,
        batch: Batch,
        *,
        min_score: float,
        max_masks: int,
        categories: frozenset[int] | None = None,
    ) -> list[Instances]:
        """B items for B images; an image's answer does not depend on its batch mates.

        Normalises the pixels, zeroes what lies beyond the content, filters `categories` (labels;
        None: all) before any top-k, suppresses duplicates, and gives at most `max_masks` instances
        with a score of at least `min_score`, N = 0 included.
        """
        ...

    # Segmenters are nn.Modules; these are the parts of it that the core uses.
    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True) -> Any: ...
    def to(self, *args: Any, **kwargs: Any) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...
    def eval(self) -> Any: ...


@runtime_checkable
class Trainable(Segmenter, Protocol):
    """A segmenter that can learn.

    With a class attribute `learns_from_boxes = True` it also gets targets without an outline (see
    `Targets.outlined`); for other models these are regions to ignore.
    """

    def losses(self, batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """Named scalar losses to be summed; finite, of the same names, also without any target."""
        ...


@runtime_checkable
class Fusible(Segmenter, Protocol):
    """A segmenter that can rewrite itself for inference in reduced precision."""

    def fuse(self, dtype: torch.dtype) -> None:
        """Fold norms into convolutions, keep weights in `dtype`; called once, in eval mode, after
        the weights are in. From then on it is called under autocast to `dtype`, never trained."""
        ...


@runtime_checkable
class Calibratable(Trainable, Protocol):
    """A trainable segmenter that can fit its fresh layers to a pretrained body."""

    def calibrate(self, batch: Batch) -> None:
        """Rescale layers with random weights to the maps that the body makes of `batch`; called
        once, before training, when the initial weights fill the body alone."""
        ...


@runtime_checkable
class Freezable(Trainable, Protocol):
    """A trainable segmenter that can keep the first layers of a pretrained body."""

    def freeze_stem(self) -> None:
        """Take the body's first layers out of training (`requires_grad` False); called once, before
        training, when the initial weights fill the body alone. Other parameters still learn."""
        ...


@dataclass(frozen=True, slots=True)
class Family:
    """What an entry point names.

    `variants`: the first is the default. `build` makes a model with random weights (imports torch
    inside). `convert` maps a published checkpoint's names to the model's own and raises a
    UsageError that names the first differences when it is another model's. `published`: variant ->
    where its authors' checkpoint lies, for messages only; segcli fetches nothing by itself.
    `needs_weights` False: `build` makes a model that is ready to use, because it has computed or
    fixed parameters; weights given by the user are still loaded.
    `bodies`: variant -> the classifier whose body a training may begin with, as its file begins.
    """

    name: str
    variants: Mapping[str, ModelInfo]
    build: Callable[[ModelInfo], Segmenter]
    convert: Callable[[Mapping[str, Tensor], ModelInfo], dict[str, Tensor]]
    published: Mapping[str, str] = field(default_factory=dict)
    bodies: Mapping[str, str] = field(default_factory=dict)
    needs_weights: bool = True
