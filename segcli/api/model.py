"""Run a model on single images in this process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcli.api.result import Result
from segcli.errors import ImageError
from segcli.images import decode
from segcli.images.batch import canvas_size, fit
from segcli.images.memory import from_memory
from segcli.images.tiles import Slicing
from segcli.pipeline.job import Job
from segcli.pipeline.options import PredictOptions
from segcli.pipeline.settings import describe
from segcli.pipeline.stages.predictor import load_predictor
from segcli.pipeline.stages.prefetch import Loaded
from segcli.sources import read
from segcli.types import Image, ModelInfo, Record, Sample

if TYPE_CHECKING:
    from segcli.pipeline.events import Event
    from segcli.pipeline.stages.inference import Inference


def load(
    model: str | None = None,
    *,
    weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    runtime: str = "auto",
    min_score: float = 0.05,
    max_masks: int = 100,
    categories: Sequence[str] | None = None,
    class_scores: Mapping[str, float] | None = None,
    min_area: int = 0,
    tta: str = "none",
    merge_class_agnostic: bool = False,
    slice: str | None = None,
) -> Model:
    """Load a model; call it with an image.

    The arguments are those of `segcli predict`, with the same defaults: `model` is
    "FAMILY/VARIANT" (None: the default model), `weights` a file, `device` "auto", "cpu", "cuda" or
    "cuda:N". Raises UsageError, which names the available models or categories.
    """
    from segcli.pipeline.stages.inference import load_inference

    options = PredictOptions(
        source="",
        out=Path(),
        model=model,
        weights=None if weights is None else os.fspath(weights),
        device=device,
        precision=precision,
        runtime=runtime,
        min_score=min_score,
        max_masks=max_masks,
        categories=None if categories is None else tuple(categories),
        class_scores=tuple((class_scores or {}).items()),
        min_area=min_area,
        tta=tta,
        merge_class_agnostic=merge_class_agnostic,
        slice=slice,
    )
    described = describe(options)
    job = Job.of(options, described, precision=precision, runtime=runtime, load=load_predictor)
    return Model(load_inference(job, _ignore), described.slicing)


def _ignore(event: Event) -> None:
    """Ignore events."""


class Model:
    """A loaded model. Calling it gives the objects that `segcli predict` writes for the file."""

    def __init__(self, inference: Inference, slicing: Slicing | None = None) -> None:
        self._inference = inference
        self._slicing = slicing

    def __call__(self, image: Any) -> Result:
        """The objects in one image, best first.

        `image`: a path, a PIL image, or uint8 (H, W, 3) RGB or (H, W) grey. Raises ImageError if
        it cannot be read, UsageError if it is something else.
        """
        picture = _picture(image)
        record = self._record(picture)
        if record.error is not None:
            raise ImageError(record.error)
        return Result(picture, tuple(record.segments), self.info)

    def _record(self, picture: Image) -> Record:
        from segcli.pipeline.stages.slicing import sliced

        sample = Sample(picture.key, picture.key)
        if self._slicing is not None and self._slicing.cuts(picture):
            batches = sliced(self._inference, Loaded(0, sample, picture), self._slicing)
            (record,) = (record for records in batches for record in records)
            return record
        fitted = fit(picture, self.info)
        size = fitted.pixels.shape[0], fitted.pixels.shape[1]
        canvas = canvas_size(size, self.info.stride)
        (record,) = self._inference.records(canvas, [Loaded(0, sample, fitted)])
        return record

    @property
    def info(self) -> ModelInfo:
        return self._inference.model.info

    @property
    def categories(self) -> tuple[str, ...]:
        """The category names, which `Result.labels` index."""
        return self.info.categories

    @property
    def device(self) -> str:
        return str(self._inference.device)

    @property
    def precision(self) -> str:
        return self._inference.precision

    def __repr__(self) -> str:
        name = f"{self.info.family}/{self.info.variant}"
        return f"<segcli model {name} on {self.device} in {self.precision}>"


def _picture(image: Any) -> Image:
    if not isinstance(image, str | os.PathLike):
        return from_memory(image)
    path = os.fspath(image)
    return decode(read(Sample(path, path)), key=path)
