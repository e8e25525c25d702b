"""Slicing finds what the model finds at full size, in bounded memory, and is recorded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest
from PIL import Image as PilImage
from segcli_toy import TINY

import segcli
from segcli.errors import UsageError
from segcli.images.tiles import Slicing
from segcli.pipeline import PredictOptions, predict, settings
from segcli.pipeline.job import Job
from segcli.pipeline.settings import describe
from segcli.pipeline.stages.inference import Inference, load_inference
from segcli.pipeline.stages.predictor import load_predictor
from segcli.pipeline.stages.prefetch import Loaded
from segcli.pipeline.stages.slicing import sliced
from segcli.types import Image, Resize, Sample

SIZE = (150, 200)


def engine(model: str, **options: object) -> Inference:
    wanted = PredictOptions(source="", out=Path("out"), model=model, device="cpu", **options)
    job = Job.of(
        wanted, describe(wanted), precision="float32", runtime="torch", load=load_predictor
    )
    return load_inference(job, print)


def picture() -> np.ndarray:
    """A red ring and a green bar across several seams of 64 px tiles, and a small blue square."""
    pixels = np.zeros((*SIZE, 3), np.uint8)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(y - 70, x - 90)
    pixels[(distance > 30) & (distance < 55), 0] = 200
    pixels[140:147, 5:190, 1] = 180
    pixels[10:16, 180:186, 2] = 220
    return pixels


def loaded() -> Loaded:
    return Loaded(0, Sample("a", "a"), Image("a", picture(), SIZE))


def test_objects_across_seams_are_those_of_the_whole_image_at_full_size() -> None:
    """Every byte of the masks, the boxes, and the categories."""
    tiled = engine("toy", slice="auto")
    *signs, (record,) = sliced(tiled, loaded(), Slicing(64, 12))
    assert signs == [[]] * 4, "the whole, then 12 tiles in batches of 4"
    whole = engine("toy")
    whole.model.info = replace(TINY, resize=Resize(*SIZE), stride=1)
    (expected,) = whole.records(SIZE, [loaded()])
    assert len(expected.segments) == 3
    key = {segment.label: segment for segment in expected.segments}
    for segment in record.segments:
        one = key.pop(segment.label)
        assert (segment.rle, segment.area, segment.box) == (one.rle, one.area, one.box)
        assert segment.score == pytest.approx(one.score)
    assert key == {}


def test_small_areas_are_judged_when_the_tiles_are_joined() -> None:
    """The bar has 1,295 px, and at most 448 of them in one tile; the square has 36."""
    tiled = engine("toy", slice="auto", min_area=1000)
    *_, (record,) = sliced(tiled, loaded(), Slicing(64, 12))
    whole = engine("toy")
    *_, (everything,) = sliced(whole, loaded(), Slicing(64, 12))
    assert [segment.area for segment in everything.segments if segment.area < 1000] == [36]
    assert list(record.segments) == [s for s in everything.segments if s.area >= 1000]


def test_only_the_best_are_kept() -> None:
    tiled = engine("toy", slice="auto", max_masks=2)
    *_, (record,) = sliced(tiled, loaded(), Slicing(64, 12))
    assert [segment.label for segment in record.segments] == [2, 0]


def test_no_more_pixels_at_once_than_a_batch_of_tiles(monkeypatch) -> None:
    tiled = engine("toy", slice="auto", batch_size=2)
    seen = []
    answer = tiled.model.predict

    def watched(batch, **options):
        seen.append(tuple(batch.pixels.shape))
        return answer(batch, **options)

    monkeypatch.setattr(tiled.model, "predict", watched)
    *_, (record,) = sliced(tiled, loaded(), Slicing(64, 12))
    assert record.segments
    assert seen[1:] == [(2, 3, 64, 64)] * 6


def test_a_tile_that_fails_fails_the_image() -> None:
    """Of the twelve, the last one is all white, which this model does not take."""
    item = loaded()
    item.image.pixels[86:, 136:] = 255
    tiled = engine("troubled/picky", slice="auto")
    *_, (record,) = sliced(tiled, item, Slicing(64, 12))
    assert record.error.startswith("the model failed")
    assert (record.height, record.width) == SIZE


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    PilImage.fromarray(picture()).save(folder / "large.png")
    PilImage.fromarray(picture()[:60, 60:120]).save(folder / "small.png")
    return folder


def test_a_run_with_tiles(images, tmp_path) -> None:
    """Small images are as without tiles; the tiles are a fact of the run."""
    rows = {}
    for name, options in (("plain", {}), ("tiles", {"slice": "auto"})):
        out = tmp_path / f"{name}.parquet"
        wanted = {"source": str(images), "out": out, "model": "toy", "device": "cpu", **options}
        assert predict(PredictOptions(replicas=0, **wanted), report=print).failed == 0
        table = ds.dataset(out).to_table(columns=["key", "rle", "category"]).to_pylist()
        rows[name] = {
            key: [r for r in table if r["key"] == key] for key in ("large.png", "small.png")
        }
    assert rows["plain"]["small.png"] == rows["tiles"]["small.png"]
    assert rows["plain"]["large.png"] != rows["tiles"]["large.png"]
    result = segcli.load("toy", device="cpu", slice="auto")(images / "large.png")
    assert sorted(r["category"] for r in rows["tiles"]["large.png"]) == ["blue", "green", "red"]
    assert len(result) == 3
    with pytest.raises(UsageError, match="slice"):
        predict(PredictOptions(replicas=0, **{**wanted, "slice": "96"}), report=print)


def test_rows_joined_in_another_way_are_not_added_to(images, tmp_path, monkeypatch) -> None:
    """A run without tiles takes no notice."""
    for options in ({}, {"slice": "auto"}):
        out = tmp_path / f"{len(options)}.parquet"
        wanted = PredictOptions(
            source=str(images), out=out, model="toy", device="cpu", replicas=0, **options
        )
        with monkeypatch.context() as before:
            before.setattr(settings, "JOINING_VERSION", 1)
            predict(replace(wanted, limit=1), report=print)
        if options:
            with pytest.raises(UsageError, match="slice"):
                predict(wanted, report=print)
        else:
            assert predict(wanted, report=print).failed == 0
