"""What becomes of a batch that the model or the memory refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from segcli_toy import TINY

from segcli.errors import NothingDone, UsageError, WorkersLost
from segcli.models.openvino_graph import Graph
from segcli.models.registry import Loaded as LoadedModel
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Committed, Event, Note
from segcli.pipeline.job import Job
from segcli.pipeline.settings import describe
from segcli.pipeline.stages.inference import GIVE_UP_AFTER, Inference, _graphs, load_inference
from segcli.pipeline.stages.predictor import load_predictor
from segcli.pipeline.stages.prefetch import Loaded
from segcli.types import Image, Sample

CANVAS = (64, 96)


def engine(model: str, told: list[Event] | None = None, **options: object) -> Inference:
    wanted = PredictOptions(source="", out=Path("out"), model=model, **{"device": "cpu", **options})
    job = Job.of(
        wanted, describe(wanted), precision="float32", runtime="torch", load=load_predictor
    )
    return load_inference(job, (told if told is not None else []).append)


def red(index: int, value: int = 200) -> Loaded:
    """The left half red, the rest black, shown twice as large as its original."""
    pixels = np.zeros((64, 80, 3), np.uint8)
    pixels[:, :40, 0] = value
    return Loaded(index, Sample(f"{index}", ""), Image(f"{index}", pixels, (32, 40)))


def white(index: int) -> Loaded:
    pixels = np.full((64, 96, 3), 255, np.uint8)
    return Loaded(index, Sample(f"{index}", ""), Image(f"{index}", pixels, (64, 96)))


def test_records_hold_segments_in_original_pixels() -> None:
    (record,) = engine("toy").records(CANVAS, [red(0)])
    assert (record.height, record.width, record.error) == (32, 40, None)
    (segment,) = record.segments
    assert (segment.label, segment.area, segment.box) == (0, 32 * 20, (0.0, 0.0, 20.0, 32.0))
    assert segment.score == pytest.approx(200 / 255)


def test_batch_out_of_memory_is_halved_and_remembered() -> None:
    told: list[Event] = []
    greedy = engine("troubled/greedy", told, batch_size=4)
    records = greedy.records(CANVAS, [red(i) for i in range(4)])
    assert [r.sample.key for r in records] == ["0", "1", "2", "3"]
    assert [len(r.segments) for r in records] == [1, 1, 1, 1]
    assert (greedy.size_of(CANVAS), greedy.size_of((32, 32))) == (1, 4)
    assert told == [
        Note("out of memory: batches of 96x64 px now hold 2"),
        Note("out of memory: batches of 96x64 px now hold 1"),
    ]


def test_image_too_large_by_itself_is_a_failed_row() -> None:
    (record,) = engine("troubled/huge").records(CANVAS, [red(0)])
    assert record.error == "not enough memory for this image alone"
    assert (record.height, record.width) == (32, 40)


NO_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: x"),
    RuntimeError("CUDA error: out of memory"),  # where CUDA itself allocates, and not torch
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
]


@pytest.mark.parametrize("error", NO_MEMORY)
def test_every_kind_of_memory_error_is_known(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = engine("toy")

    def refuse(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(toy.model, "predict", refuse)
    assert toy.records(CANVAS, [red(0)])[0].error == "not enough memory for this image alone"


@pytest.mark.parametrize("error", NO_MEMORY[:3])
def test_model_that_does_not_fit_is_told(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(WorkersLost, match="cpu does not have enough memory for the model"):
        engine("toy")


@pytest.mark.slow
def test_what_fitted_is_remembered_in_later_chunks(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    """One worker, three chunks of one canvas: a batch is too large once, and never again."""
    told: list[Event] = []
    options = PredictOptions(
        source=str(pictures(12)),
        out=tmp_path / "m.parquet",
        model="troubled/greedy",
        device="cpu",
        precision="float32",
        chunk_size=4,
        batch_size=2,
        replicas=1,
    )
    assert predict(options, report=told.append).images == 12
    assert [e.images for e in told if isinstance(e, Committed)] == [4, 4, 4]
    halved = Note("out of memory: batches of 96x64 px now hold 1")
    assert [e for e in told if isinstance(e, Note)] == [halved]


def test_failed_device_is_no_images_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = engine("toy")

    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(toy.model, "predict", fail)
    with pytest.raises(WorkersLost, match="run the same command again") as caught:
        toy.records(CANVAS, [red(0), red(1)])
    assert caught.value.exit_code == 8


def test_one_refused_image_does_not_cost_its_batch_mates() -> None:
    records = engine("troubled/picky").records(CANVAS, [red(0), white(1), red(2)])
    assert [r.error for r in records] == [None, "the model failed: ValueError: a white image", None]
    assert [len(r.segments) for r in records] == [1, 0, 1]


def test_model_that_refuses_everything_ends_the_run() -> None:
    broken = engine("troubled/broken")
    with pytest.raises(NothingDone, match=r"first 8 images \(TypeError: programmed wrongly\)") as e:
        broken.records(CANVAS, [red(i) for i in range(GIVE_UP_AFTER)])
    assert isinstance(e.value.__cause__, TypeError)  # SEGCLI_DEBUG shows where


def test_many_refused_images_after_a_good_one_are_rows() -> None:
    picky = engine("troubled/picky")
    picky.records(CANVAS, [red(0)])
    records = picky.records(CANVAS, [white(i) for i in range(GIVE_UP_AFTER + 1)])
    assert all(r.error for r in records)


def test_labels_and_scores_are_the_models_business_and_are_passed_on() -> None:
    assert engine("toy", min_score=0.9).records(CANVAS, [red(0)])[0].segments == []
    assert engine("toy", categories=("blue",)).records(CANVAS, [red(0)])[0].segments == []


def test_unknown_device_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="tpu"):
        engine("toy", device="tpu")


def test_auto_batch_size_is_four_on_a_processor() -> None:
    assert engine("toy").size_of(CANVAS) == 4
    assert engine("toy", batch_size=9).size_of(CANVAS) == 9
    assert engine("toy").device == torch.device("cpu")
    assert engine("toy").model.info == TINY


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_only_a_gpu_is_fed_from_locked_memory(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def collate(*images: object, locked: bool) -> None:
        asked.append(locked)
        raise MemoryError  # far enough

    toy = engine("toy")
    toy.device = torch.device(device)
    monkeypatch.setattr("segcli.pipeline.stages.inference.collate", collate)
    monkeypatch.setattr("segcli.pipeline.stages.inference._free_memory", lambda device: None)
    assert toy.records(CANVAS, [red(0)])[0].error
    assert asked == [device == "cuda"]


def test_int8_heads_need_an_int8_form_of_the_static_part() -> None:
    heads = {"box": Graph(b"", b"")}
    loaded = LoadedModel(cast(Any, None), TINY, "heads.safetensors", "0" * 64, heads)
    with pytest.raises(UsageError, match=r"heads\.safetensors has no int8 form of the static part"):
        _graphs(cast(Any, None), loaded, "int8+float32", print)
