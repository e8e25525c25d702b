"""What a family of models must provide; the whole plugin API on one screen.

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


@dataclass(frozen=True, slots=True)
class Family:
    """What an entry point names.

    `variants`: the first is the default. `build` makes a model with random weights (imports torch
    inside). `convert` maps a published checkpoint's names to the model's own and raises a
    UsageError that names the first differences when it is another model's. `published`: variant ->
    where its authors' checkpoint lies, for messages only; segcli fetches nothing by itself.
    """

    name: str
    variants: Mapping[str, ModelInfo]
    build: Callable[[ModelInfo], Segmenter]
    convert: Callable[[Mapping[str, Tensor], ModelInfo], dict[str, Tensor]]
    published: Mapping[str, str] = field(default_factory=dict)
