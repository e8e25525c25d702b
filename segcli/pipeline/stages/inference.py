"""Run the model on images of one canvas, and handle its failures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from segcli.errors import NothingDone, UsageError, WorkersLost
from segcli.images.batch import collate
from segcli.masks.sampling import segments, segments_of_batch
from segcli.models.device import (
    autocast,
    is_int8,
    one_thread,
    resolve_device,
    resolve_precision,
    torch_precision,
)
from segcli.models.openvino_graph import STATIC, Graph, kept_graph
from segcli.models.registry import Loaded as LoadedModel
from segcli.models.registry import load_model
from segcli.models.runtime import compiled_for, resolve_runtime, use
from segcli.pipeline.events import Note, Report
from segcli.pipeline.job import Job
from segcli.pipeline.refinement import Refinement
from segcli.pipeline.stages.mirror import mirrored, turned_back
from segcli.pipeline.stages.prefetch import Loaded
from segcli.plugin import Compilable, Fusible, Segmenter
from segcli.types import Batch, Image, Instances, Record, Segment, Size

if TYPE_CHECKING:
    import torch

GIVE_UP_AFTER = 8  # images that the model refused before one succeeded
_NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
BATCH_SIZE = {"cpu": 4, "cuda": 16}  # "auto"; more only takes memory


@dataclass(frozen=True, slots=True)
class _NoMemory:
    """Result instead of segments: the batch did not fit into memory."""


@dataclass(frozen=True, slots=True)
class _Refused:
    """Result instead of segments: the model raised an error for one of the images or all."""

    error: Exception

    def __str__(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"


@dataclass(slots=True)
class Inference:
    """A model in eval mode on `device`; `labels` are the only ones wanted (None: all)."""

    model: Segmenter
    device: torch.device
    precision: str
    min_score: float
    max_masks: int
    labels: frozenset[int] | None
    batch_size: int
    report: Report
    refinement: Refinement = Refinement()
    runtime: str = "torch"
    _smaller: dict[Size, int] = field(default_factory=dict)
    proven: bool = False  # the model has processed an image
    _refused: int = 0

    def size_of(self, canvas: Size) -> int:
        """The batch size for this canvas: the given one, or the largest that fits."""
        return self._smaller.get(canvas, self.batch_size)

    def records(
        self, canvas: Size, group: Sequence[Loaded], *, pieces: bool = False
    ) -> list[Record]:
        """One record per image, in order; `pieces`: the images are parts of larger ones.

        A batch that does not fit in memory is halved (and so are the later ones of its canvas); a
        batch that the model refuses is tried image by image, and the bad one becomes a failed row.
        Raises NothingDone if the model refuses everything, because then the images are not the
        cause, and WorkersLost if the device fails.
        """
        images = [item.image for item in group if item.image is not None]
        refinement = self.refinement.of_pieces() if pieces else self.refinement
        found = self._attempt(images, refinement)
        # Handled here, not in an except clause: there the traceback would keep the tensors alive.
        if isinstance(found, (_NoMemory, _Refused)) and len(group) > 1:
            half = 1
            if isinstance(found, _NoMemory):
                half = self._halve(canvas, len(group))
            parts = [group[start : start + half] for start in range(0, len(group), half)]
            return [
                record for part in parts for record in self.records(canvas, part, pieces=pieces)
            ]
        if isinstance(found, _NoMemory):
            _free_memory(self.device)
            advice = "" if self.device.type == "cpu" else "; retry it on the CPU"
            return [_failed(group[0], f"not enough memory for this image alone{advice}")]
        if isinstance(found, _Refused):
            self._refuse(found)
            return [_failed(group[0], f"the model failed: {found}")]
        return self.finished(group, found)

    def finished(self, group: Sequence[Loaded], found: Sequence[list[Segment]]) -> list[Record]:
        """The records of images in which the model has found these segments."""
        self.proven = True
        pairs = ((item, item.image, one) for item, one in zip(group, found, strict=True))
        return [
            Record(item.sample, *image.original_size, segments=one, warnings=image.warnings)
            for item, image, one in pairs
            if image is not None
        ]

    def _attempt(
        self, images: Sequence[Image], refinement: Refinement
    ) -> list[list[Segment]] | _NoMemory | _Refused:
        try:
            return self._segments(images, refinement)
        except Exception as error:  # a plugin can raise anything; an error fails one image
            if _is_out_of_memory(error):
                return _NoMemory()
            if _is_lost(error):
                raise WorkersLost(
                    f"the device {self.device} has failed ({error}), and this process can't use it "
                    f"any more; committed work is complete: run the same command again"
                ) from error
            return _Refused(error)

    def _segments(self, images: Sequence[Image], refinement: Refinement) -> list[list[Segment]]:
        batch = self.batch_of(images)
        return self.segments_of(batch, self.views_of(batch, refinement), refinement)

    def views_of(self, batch: Batch, refinement: Refinement) -> list[list[Instances]]:
        """What the model finds in the images, and in their mirror images where it is asked to."""
        views = [self.find(batch)]
        if refinement.flip:
            found, widths = self.find(mirrored(batch)), [w for _, w in batch.content_sizes]
            names = self.model.info.keypoints
            views.append([turned_back(i, w, names) for i, w in zip(found, widths, strict=True)])
        return views

    def batch_of(self, images: Sequence[Image]) -> Batch:
        """The images as one batch, which may still be on its way to the device."""
        # Only page-locked memory is copied while the GPU computes; from other memory CUDA waits.
        batch = collate(images, self.model.info, locked=self.device.type == "cuda")
        return replace(batch, pixels=batch.pixels.to(self.device, non_blocking=True))

    def find(self, batch: Batch) -> list[Instances]:
        """What the model finds in each image of a batch."""
        import torch

        least = self.refinement.least_score(self.min_score, self.labels)
        with torch.inference_mode(), autocast(self.device, self.precision):
            return self.model.predict(
                batch, min_score=least, max_masks=self.max_masks, categories=self.labels
            )

    def segments_of(
        self, batch: Batch, views: Sequence[Sequence[Instances]], refinement: Refinement
    ) -> list[list[Segment]]:
        """The segments of each image of a batch, from what was found in its views."""
        import torch

        # Its tensors are small: a team of threads costs more than it does (one core is faster).
        with torch.inference_mode(), one_thread(self.device):
            converted = [self._converted(view, batch) for view in views]
            return [
                refinement.refined(
                    of_views, size, min_score=self.min_score, max_masks=self.max_masks
                )
                for *of_views, size in zip(*converted, batch.image_sizes, strict=True)
            ]

    def _converted(self, view: Sequence[Instances], batch: Batch) -> list[list[Segment]]:
        if self.device.type != "cpu":
            return segments_of_batch(view, batch.content_sizes, batch.image_sizes)
        # One image fits into the cache of a processor.
        sizes = zip(view, batch.content_sizes, batch.image_sizes, strict=True)
        return [segments(one, content_size=c, image_size=s) for one, c, s in sizes]

    def _halve(self, canvas: Size, size: int) -> int:
        _free_memory(self.device)
        half = max(1, size // 2)
        if half < self.size_of(canvas):
            self._smaller[canvas] = half
            height, width = canvas
            self.report(Note(f"out of memory: batches of {width}x{height} px now hold {half}"))
        return half

    def _refuse(self, refused: _Refused) -> None:
        self._refused += 1
        if not self.proven and self._refused >= GIVE_UP_AFTER:
            raise NothingDone(
                f"the model failed on each of the first {self._refused} images ({refused}): "
                "the images are not the cause, so no rows were written for them; SEGCLI_DEBUG=1 "
                "shows where it failed, `device='cpu'` and `precision='float32'` may avoid it"
            ) from refused.error


def load_inference(job: Job, report: Report) -> Inference:
    """Load the model onto its device.

    Raises UsageError (no such device, weights of another model), WorkersLost when it does not fit.
    """
    import torch

    device = resolve_device(job.device)

    def note(message: str) -> None:
        report(Note(message))

    try:
        precision = resolve_precision(job.precision, device)
        runtime = resolve_runtime(job.runtime, precision)
        loaded = load_model(job.model, job.weights)
        # Convolutions run up to twice as fast on channels-last weights, on processors and GPUs.
        model = loaded.model.to(device, memory_format=torch.channels_last)
        compiled = compiled_for(
            model, runtime, precision=precision, device=device,
            graphs=lambda model: _graphs(model, loaded, precision, note),
            note=note,
        )  # fmt: skip
        if isinstance(model, Fusible):
            model.fuse(getattr(torch, torch_precision(precision)))
        runtime = use(model, compiled, runtime, precision=precision, device=device)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise WorkersLost(
            f"{device} does not have enough memory for the model: end other programs, or use fewer "
            f"`replicas` or another `device`, then run the same command again"
        ) from error
    return Inference(
        model=model,
        device=device,
        precision=precision,
        min_score=job.min_score,
        max_masks=job.max_masks,
        labels=job.described.labels,
        batch_size=job.batch_size or BATCH_SIZE.get(device.type, 4),
        report=report,
        refinement=job.described.refinement,
        runtime=runtime,
    )


def _graphs(
    model: Compilable, loaded: LoadedModel, precision: str, note: Callable[[str], None]
) -> Mapping[str, Graph]:
    if not is_int8(precision):
        return {STATIC: kept_graph(model, loaded.sha256, note)}
    if STATIC not in loaded.quantized:
        what = "int8 form of the static part" if loaded.quantized else "int8 form"
        raise UsageError(
            f"{loaded.weights} has no {what}: make weights that have one with `segcli weights "
            f"quantize`, and give them as `weights`"
        )
    return loaded.quantized


def _failed(item: Loaded, reason: str) -> Record:
    if item.image is None:
        return Record(item.sample, None, None, error=reason)
    size, warnings = item.image.original_size, item.image.warnings
    return Record(item.sample, *size, error=reason, warnings=warnings)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether there was no memory: torch has an error of its own for what it allocates on a GPU,
    and plain RuntimeErrors on a processor and where CUDA's libraries allocate by themselves."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def _is_lost(error: Exception) -> bool:
    """Whether a GPU has failed for this process; later images would fail, too."""
    return isinstance(error, RuntimeError) and "CUDA error" in str(error)


def _free_memory(device: torch.device) -> None:
    """Give cached blocks back, so that the smaller batch finds them in one piece."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
