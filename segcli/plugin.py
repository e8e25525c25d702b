"""The whole plugin API: the required and the optional parts of a family of models.

A family is found through the entry-point group "segcli.families"; its module imports no torch.
tests/test_plugins.py checks every installed family against the rules stated here.
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
    """A torch.nn.Module with `info` and `predict`."""

    info: ModelInfo

    def predict(
        self,
        batch: Batch,
        *,
        min_score: float,
        max_masks: int,
        categories: frozenset[int] | None = None,
    ) -> list[Instances]:
        """One item per image; the result for an image does not depend on the rest of its batch.

        Normalises the pixels, zeroes everything outside the content, filters `categories` (labels;
        None: all) before any top-k, suppresses duplicates, and returns at most `max_masks`
        instances with a score of at least `min_score`; there may be none.
        """
        ...

    # Segmenters are nn.Modules; these are the methods of nn.Module that segcli uses.
    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True) -> Any: ...
    def to(self, *args: Any, **kwargs: Any) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...
    def eval(self) -> Any: ...


@runtime_checkable
class Trainable(Segmenter, Protocol):
    """A segmenter that can be trained.

    With a class attribute `learns_from_boxes = True` it also receives targets without an outline
    (see `Targets.outlined`); for other models these are regions to ignore.
    """

    def losses(self, batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """Named scalar losses to be summed: finite, and with the same names without any target."""
        ...


@runtime_checkable
class Fusible(Segmenter, Protocol):
    """A segmenter that can rewrite itself for fast inference."""

    def fuse(self, dtype: torch.dtype) -> None:
        """Fold norms into convolutions and cast weights to `dtype`. Called once, in eval mode,
        after the weights are loaded. Later calls are under autocast to `dtype` (float32: without
        autocast), without training. In float32, results change by rounding only.
        """
        ...


@runtime_checkable
class Compilable(Segmenter, Protocol):
    """A segmenter with a static part that another runtime can compute: usually body, pyramid and
    dense heads, whose shapes follow from the canvas and not from what is in the image.

    With an attribute `canvas` (H, W), the static part takes images of this size only.
    """

    compiled: Callable[[Tensor], list[Tensor]] | None
    """None, or what `predict` has to call in place of `static`."""

    def static(self, x: Tensor) -> list[Tensor]:
        """Normalised images f32 (B, 3, H, W) -> tensors (B, ...), image by image independent.

        In eval mode it uses only operators that torch.jit.trace can record for every H and W that
        the static part takes.
        """
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """What `compute` makes of the features of regions, region by region independent: f32
    (N, *shape) -> tensors (N, ...). In eval mode it uses only operators that torch.jit.trace can
    record for any N."""

    compute: Callable[[Tensor], list[Tensor]]
    shape: tuple[int, int, int]


@runtime_checkable
class Headed(Compilable, Protocol):
    """A compilable segmenter with a second stage: heads for regions, of which the image decides
    how many there are."""

    compiled_heads: dict[str, Callable[[Tensor, Sequence[int]], list[Tensor]]]
    """What `predict` has to call in place of heads, by their names; with the features (N, ...) of
    the regions of all images, and how many each image has."""

    def heads(self) -> dict[str, Head]:
        """The heads by their names."""
        ...


@runtime_checkable
class Calibratable(Trainable, Protocol):
    """A trainable segmenter that can adapt its random layers to a pretrained body."""

    def calibrate(self, batch: Batch) -> None:
        """Rescale layers with random weights to the activations of the body for `batch`. Called
        once before training, if only the body has initial weights."""
        ...


@runtime_checkable
class Freezable(Trainable, Protocol):
    """A trainable segmenter that can freeze the first layers of a pretrained body."""

    def freeze_stem(self) -> None:
        """Freeze the first layers of the body (`requires_grad` False). Called once before training,
        if only the body has initial weights. Other parameters are still trained."""
        ...


@runtime_checkable
class Staged(Trainable, Protocol):
    """A trainable segmenter whose body consists of stages, each of which halves the maps."""

    def freeze_stages(self, count: int) -> None:
        """Train all stages of the body but the first `count` (0: all of them); the first one ends
        with the map of stride 4. Called once before training, if the user asks for it. Raises a
        UsageError if the body has fewer stages."""
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
    compared with the download. `ap` is the mask AP and `keypoint_ap` the keypoint AP in % on the
    COCO images `ap_images`, and `source` the page that states these facts. `non_commercial`: the
    `licence` has to be accepted. `by_hand` says why no program can fetch the file; then `url` is a
    page for a browser. `recommended`: worth naming to people who have only the weights that ship.
    """

    url: str
    licence: str
    source: str
    ap: float | None = None
    keypoint_ap: float | None = None
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
    """A family of models, to which an entry point refers.

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
