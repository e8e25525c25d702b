"""Copying, network and masks of different batches at the same time, with stages that sleep."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_data import picture

from segcli.pipeline import PredictOptions
from segcli.pipeline.job import Job
from segcli.pipeline.refinement import Refinement
from segcli.pipeline.settings import describe
from segcli.pipeline.stages.inference import Inference, load_inference
from segcli.pipeline.stages.overlap import Overlap
from segcli.pipeline.stages.predictor import load_predictor
from segcli.pipeline.stages.prefetch import Loaded
from segcli.types import Image, Record, Sample, Segment

CANVAS = (32, 32)
STEP_S = 0.03


@dataclass
class Stages:
    """An inference whose three stages take equally long; `log` has (stage, batch, begin, end)."""

    device: torch.device = torch.device("cpu")
    refinement: Refinement = Refinement()
    bad: tuple[str, int] | None = None
    log: list[tuple[str, int, float, float]] = field(default_factory=list)

    def stage(self, name: str, batch: int) -> int:
        begin = time.perf_counter()
        if self.bad == (name, batch):
            raise MemoryError
        time.sleep(STEP_S)
        self.log.append((name, batch, begin, time.perf_counter()))
        return batch

    def batch_of(self, images: list[int]) -> int:
        return self.stage("copy", images[0])

    def views_of(self, batch: int, refinement: Refinement) -> int:
        return self.stage("network", batch)

    def segments_of(self, batch: int, views: int, refinement: Refinement) -> int:
        assert batch == views
        return self.stage("masks", batch)

    def finished(self, group: list[Loaded], found: int) -> list[Record]:
        assert found == group[0].image
        return [Record(item.sample, 1, 1) for item in group]

    def records(self, canvas: tuple[int, int], group: list[Loaded]) -> list[Record]:
        self.log.append(("records", group[0].image, 0.0, 0.0))
        return [Record(item.sample, 1, 1, error="repeated") for item in group]


def batch(number: int) -> list[Loaded]:
    return [Loaded(number, Sample(f"{number}", ""), number)]


def run(stages: Stages, count: int = 6, **options: bool) -> list[Record]:
    with Overlap(stages, **options) as line:
        found = [r for n in range(count) for rs in line.add(CANVAS, batch(n)) for r in rs]
        return found + [r for rs in line.rest() for r in rs]


def test_three_batches_are_in_work_at_the_same_time() -> None:
    stages = Stages()
    begin = time.perf_counter()
    records = run(stages, ahead=True)
    spent = time.perf_counter() - begin
    assert [record.sample.key for record in records] == list("012345")
    assert len(stages.log) == 18
    assert spent < 0.8 * 18 * STEP_S  # 8 steps where nothing waits for another process
    times = {(name, number): (start, end) for name, number, start, end in stages.log}
    for number in range(2, 5):
        network = times["network", number]
        assert times["copy", number + 1][0] < network[1]
        assert times["masks", number - 1][1] > network[0]
        assert times["copy", number][1] <= network[0] <= network[1] <= times["masks", number][0]


def test_at_most_one_batch_waits_for_its_masks() -> None:
    stages = Stages()
    run(stages, ahead=True)
    times = {(name, number): (start, end) for name, number, start, end in stages.log}
    for number in range(4):
        assert times["masks", number][1] <= times["network", number + 2][0]


@pytest.mark.parametrize("stage", ["copy", "network", "masks"])
def test_a_batch_that_fails_in_a_stage_is_repeated_in_its_place(stage: str) -> None:
    stages = Stages(bad=(stage, 2))
    records = run(stages, ahead=True)
    assert [record.sample.key for record in records] == list("012345")
    assert [record.error for record in records] == [None, None, "repeated", None, None, None]
    assert [name for name, number, *_ in stages.log if number == 2][-1] == "records"


def test_a_processor_does_one_after_another() -> None:
    stages = Stages()
    assert [record.error for record in run(stages, 2)] == ["repeated"] * 2
    assert [name for name, *_ in stages.log] == ["records"] * 2


def test_leaving_early_ends_the_threads() -> None:
    stages = Stages()
    with Overlap(stages, ahead=True) as line:
        for number in range(3):
            list(line.add(CANVAS, batch(number)))
    assert ("network", 2) not in {(name, number) for name, number, *_ in stages.log}


def inference_of(model: str, **options: object) -> Inference:
    chosen = {"device": "cpu", **options}
    wanted = PredictOptions(source="", out=Path("out"), model=model, **chosen)
    job = Job.of(
        wanted, describe(wanted), precision="float32", runtime="torch", load=load_predictor
    )
    return load_inference(job, lambda event: None)


@pytest.mark.parametrize("options", [{}, {"tta": "flip", "min_area": 10}])
def test_the_records_are_those_of_one_batch_after_another(options: dict[str, object]) -> None:
    inference, canvas = inference_of("toy", **options), (64, 96)
    groups = [[loaded(3 * number + i) for i in range(3)] for number in range(4)]
    with Overlap(inference, ahead=True) as line:
        found = [records for group in groups for records in line.add(canvas, group)]
        found += line.rest()
    assert found == [inference.records(canvas, group) for group in groups]
    assert any(record.segments for records in found for record in records)


def test_a_batch_that_does_not_fit_is_halved() -> None:
    inference = inference_of("troubled/greedy")
    with Overlap(inference, ahead=True) as line:
        found = list(line.add((64, 96), [loaded(number) for number in range(4)]))
        found += line.rest()
    assert [record.error for records in found for record in records] == [None] * 4
    assert inference.size_of((64, 96)) == 1


def loaded(number: int) -> Loaded:
    pixels = np.ascontiguousarray(picture(number, (64, 96)))
    return Loaded(number, Sample(f"{number}", ""), Image(f"{number}", pixels, (64, 96)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_records_of_a_processor() -> None:
    groups = [[loaded(3 * number + i) for i in range(3)] for number in range(6)]
    with Overlap(inference_of("toy", device="cuda")) as line:
        found = [records for group in groups for records in line.add((64, 96), group)]
        found += line.rest()
    here = inference_of("toy")
    for records, group in zip(found, groups, strict=True):
        expected = here.records((64, 96), group)
        assert [objects(one) for one in records] == [objects(one) for one in expected]


def objects(record: Record) -> list[Segment]:
    """The segments without their order, which equal scores leave open."""
    return sorted(record.segments, key=lambda segment: (segment.label, segment.rle))
