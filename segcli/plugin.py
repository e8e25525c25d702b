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


@runtime_checkable
class Adaptable(Segmenter, Protocol):
    """A segmenter whose weights decide some of its sizes, such as the number of queries."""

    def adapt(self, state: Mapping[str, Tensor]) -> None:
        """Take these sizes from `state`, converted weights that are about to be loaded; names or
        shapes that do not fit at all are left to the check that follows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A checkpoint that the authors of a variant published, for `segcli weights fetch`.

    `url` is https. `size` is its exact length in bytes, `megabytes` the rounded one that a page
    states. `sha256` (64 hex digits or the first 8 and more) and `md5` (the first 6 and more) are
    compared with the download. `ap` is the mask AP in % on the COCO images `ap_images`, and
    `source` the page that states these facts. `non_commercial`: the `licence` has to be accepted.
    `by_hand` says why no program can fetch the file; then `url` is a page for a browser.
    `recommended`: worth naming to people who have only the weights that ship.
    """

    url: str
    licence: str
    source: str
    ap: float | None = None
    ap_images: str = "val2017"
    size: int | None = None
    megabytes: float | None = None
    sha256: str = ""
    md5: str = ""
    non_commercial: bool = False
    by_hand: str = ""
    recommended: bool = False

    @property
    def file(self) -> str:
        """The name of the file, the last part of its address."""
        return self.url.partition("?")[0].rpartition("/")[2]

    @property
    def about_mb(self) -> float | None:
        """The size in MB (10^6 bytes) for people; None where no page states it."""
        return self.megabytes if self.size is None else self.size / 1e6


@dataclass(frozen=True, slots=True)
class Family:
    """What an entry point names.

    `variants`: the first is the default. `build` makes a model with random weights (imports torch
    inside). `convert` maps a published checkpoint's names to the model's own and raises a
    UsageError that names the first differences when it is another model's. `published`: variant ->
    the checkpoint of its authors; segcli fetches one only when it is asked to.
    `needs_weights` False: `build` makes a model that is ready to use, because it has computed or
    fixed parameters; weights given by the user are still loaded.
    `bodies`: variant -> the classifier whose body a training may begin with, as its file begins.
    `requires`: module that `build` imports beyond segcli's own dependencies -> what installs it, as
    in {"transformers": "pip install 'segcli[hf]'"}.
    """

    name: str
    variants: Mapping[str, ModelInfo]
    build: Callable[[ModelInfo], Segmenter]
    convert: Callable[[Mapping[str, Tensor], ModelInfo], dict[str, Tensor]]
    published: Mapping[str, Published] = field(default_factory=dict)
    bodies: Mapping[str, str] = field(default_factory=dict)
    needs_weights: bool = True
    requires: Mapping[str, str] = field(default_factory=dict)
