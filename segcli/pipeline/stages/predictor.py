"""A model in this process, and the stages of an image: read, decode, batch, infer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from segcli.pipeline.events import Report
from segcli.pipeline.job import Chunk, Job
from segcli.pipeline.malloc import keep_memory
from segcli.pipeline.resources import Resources
from segcli.pipeline.signals import Stop
from segcli.types import Record, View
from segcli.zones import ZonePass

if TYPE_CHECKING:
    from segcli.pipeline.stages.inference import Inference
    from segcli.pipeline.stages.overlap import Overlap
    from segcli.pipeline.stages.prefetch import Prefetch


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
        import torch

        self.job = job
        self.inference = inference
        self.device = str(inference.device)
        self.precision = inference.precision
        self.runtime = inference.runtime
        self.resources = Resources(decode_threads=1)
        self.threads = torch.get_num_threads()
        zones = job.described.zones
        self.zones = None if zones is None else ZonePass(zones)

    def equip(self, resources: Resources) -> None:
        import torch

        self.resources = resources
        self.threads = torch.get_num_threads()  # which a worker limits after it loads the model

    def batches(self, chunk: Chunk, *, stop: Stop) -> Iterator[list[Record]]:
        """One record per sample, batch by batch; ends after the batch in hand when `stop` is
        requested.

        The batches are the same for the same samples, whatever the timing. Raises NothingDone when
        the model refuses every image, WorkersLost when the device fails.
        """
        views: dict[str, View] = {}
        zones = self.zones
        for records in self._batches(chunk, stop, views):
            viewed = [replace(r, view=views.pop(r.sample.key, None)) for r in records]
            yield viewed if zones is None else [zones.record(one) for one in viewed]

    def _batches(self, chunk: Chunk, stop: Stop, views: dict[str, View]) -> Iterator[list[Record]]:
        """`views` receives those of the images that could be decoded, if they are measured."""
        from segcli.models.device import use_threads
        from segcli.pipeline.stages.overlap import Overlap

        use_threads(self.threads)  # Ray may process each chunk in another thread
        with Overlap(self.inference) as line:
            yield from self._through(line, chunk, stop, views)
            yield from line.rest()

    def _through(
        self, line: Overlap, chunk: Chunk, stop: Stop, views: dict[str, View]
    ) -> Iterator[list[Record]]:
        """The records that are finished until the last image has been read or a stop requested."""
        from segcli.pipeline.stages.batching import Batcher
        from segcli.pipeline.stages.slicing import sliced
        from segcli.pipeline.stages.static import Comparison

        inference, resources = self.inference, self.resources
        slicing, rule = self.job.described.slicing, self.job.described.static
        comparison = None if rule is None else Comparison(rule)
        inference.proven |= chunk.proven
        batcher = Batcher(
            inference.model.info.stride,
            inference.size_of,
            pending_bytes=resources.queue_bytes - resources.prefetch_bytes,
        )
        for item in self._prefetch().load(chunk.samples):
            if stop.requested:
                return
            if item.image is None:
                yield [Record(item.sample, None, None, error=item.error)]
                continue
            if comparison is not None and item.look is not None:
                views[item.sample.key] = item.look.view
                repeats = comparison.repeated(item.sample, item.look)
                if repeats is not None:
                    yield [Record(item.sample, *item.image.original_size, repeats=repeats)]
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
                yield from line.add(canvas, group)
        for canvas, group in batcher.rest():
            if stop.requested:
                return
            yield from line.add(canvas, group)

    def _prefetch(self) -> Prefetch:
        from segcli.pipeline.stages.prefetch import Prefetch

        return Prefetch(
            self.job.described.info,
            threads=self.resources.decode_threads,
            max_pixels=self.job.max_pixels,
            strict=self.job.strict_images,
            stream=self.job.stream,
            limit_bytes=self.resources.prefetch_bytes,
            slicing=self.job.described.slicing,
            looks=self.job.described.static is not None,
        )
