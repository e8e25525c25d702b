"""A model in this process, and the stages of an image: read, decode, batch, infer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from segcli.pipeline.events import Report
from segcli.pipeline.job import Chunk, Job
from segcli.pipeline.malloc import keep_memory
from segcli.pipeline.resources import Resources
from segcli.pipeline.signals import Stop
from segcli.types import Record

if TYPE_CHECKING:
    from segcli.pipeline.stages.inference import Inference


def load_predictor(job: Job, report: Report) -> Predictor:
    """Load the model. Raises UsageError (no such device, weights of another model)."""
    from segcli.pipeline.stages.inference import load_inference

    inference = load_inference(job, report)
    if inference.device.type == "cpu":
        keep_memory()
    return Predictor(job, inference)


class Predictor:
    """The model on its device, in this process."""

    def __init__(self, job: Job, inference: Inference) -> None:
        self.job = job
        self.inference = inference
        self.device = str(inference.device)
        self.precision = inference.precision
        self.resources = Resources(decode_threads=1)

    def equip(self, resources: Resources) -> None:
        self.resources = resources

    def batches(self, chunk: Chunk, *, stop: Stop) -> Iterator[list[Record]]:
        """One record per sample, batch by batch; ends after the batch in hand when `stop` is
        requested.

        The batches are the same for the same samples, whatever the timing. Raises NothingDone when
        the model refuses every image, WorkersLost when the device fails.
        """
        from segcli.pipeline.stages.batching import Batcher
        from segcli.pipeline.stages.prefetch import Prefetch
        from segcli.pipeline.stages.slicing import sliced

        inference, resources = self.inference, self.resources
        slicing = self.job.described.slicing
        inference.proven |= chunk.proven
        prefetch = Prefetch(
            self.job.described.info,
            threads=resources.decode_threads,
            max_pixels=self.job.max_pixels,
            strict=self.job.strict_images,
            stream=self.job.stream,
            limit_bytes=resources.prefetch_bytes,
            slicing=slicing,
        )
        batcher = Batcher(
            inference.model.info.stride,
            inference.size_of,
            pending_bytes=resources.queue_bytes - resources.prefetch_bytes,
        )
        for item in prefetch.load(chunk.samples):
            if stop.requested:
                return
            if item.image is None:
                yield [Record(item.sample, None, None, error=item.error)]
                continue
            if slicing is not None and slicing.cuts(item.image):
                for records in sliced(inference, item, slicing):
                    if stop.requested:
                        return
                    yield records
                continue
            for canvas, group in batcher.add(item):
                if stop.requested:
                    return
                yield inference.records(canvas, group)
        for canvas, group in batcher.rest():
            if stop.requested:
                return
            yield inference.records(canvas, group)
