"""A network's rows do not depend on how a run is cut; equal batches give equal bits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
import torch
from PIL import Image
from toy_data import rows

from segcli.models.checkpoint import save
from segcli.models.registry import find
from segcli.pipeline import PredictOptions, predict

TOLERANCE = 1e-4  # of scores; and how near a threshold a detection may come and go
MIN_SCORE = 0.05


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default family with random weights, for small images."""
    family, info = find(None)
    info = replace(info, resize=replace(info.resize, short=96, long=160))
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save(path, family.build(info).state_dict(), info)
    return path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight crops of photographs in three shapes, two canvases of one stride among them."""
    from skimage import data

    folder = tmp_path_factory.mktemp("photographs")
    originals = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    sizes = [(120, 90), (90, 120), (118, 90)]  # (width, height)
    for number in range(8):
        image = Image.fromarray(originals[number % 4]).resize(sizes[number % 3])
        image.save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def run(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """run(source, **options) -> a new output."""
    made = tmp_path_factory.mktemp("outputs")

    def predict_to_new(source: Path, **options: Any) -> Path:
        out = options.pop("out", made / f"{len(list(made.glob('*.parquet')))}.parquet")
        given = {"device": "cpu", "precision": "float32", "max_masks": 20, "replicas": 0, **options}
        wanted = PredictOptions(source=str(source), out=out, weights=str(weights), **given)
        predict(wanted, report=[].append)
        return Path(out)

    return predict_to_new


@pytest.fixture(scope="module")
def usual(run: Callable[..., Path], photographs: Path) -> Path:
    """What the others are compared with."""
    return run(photographs, batch_size=3)


def assert_same_detections(first: Path, second: Path) -> None:
    """Same rows, but for those within the tolerance of the score threshold."""
    a, b = (pyarrow.dataset.dataset(out).to_table().to_pylist() for out in (first, second))
    assert len(a) > 20, "the network must find enough to compare"
    for one, other in ((a, b), (b, a)):
        for row in one:
            alike = [r for r in other if is_same(row, r)]
            assert alike or row["score"] < MIN_SCORE + TOLERANCE, row


def is_same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    if (a["key"], a["category"]) != (b["key"], b["category"]):
        return False
    if a["mask"] is None or b["mask"] is None:
        return a["mask"] is b["mask"]
    near = all(abs(a["bbox"][side] - b["bbox"][side]) < 0.01 for side in "xywh")
    few = 0.01 * max(a["area"], 100)  # pixels within rounding of the mask's threshold
    return near and abs(a["score"] - b["score"]) < TOLERANCE and abs(a["area"] - b["area"]) < few


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 8}, {"chunk_size": 3}])
def test_same_detections_however_the_run_is_cut(
    run: Callable[..., Path], photographs: Path, usual: Path, options: dict[str, int]
) -> None:
    assert_same_detections(usual, run(photographs, **options))


@pytest.mark.slow
def test_same_detections_in_another_order_of_files(
    run: Callable[..., Path], photographs: Path, tmp_path: Path
) -> None:
    names = sorted(str(path) for path in photographs.iterdir())
    (tmp_path / "a.txt").write_text("\n".join(names))
    (tmp_path / "b.txt").write_text("\n".join(names[::-1]))
    outs = [run(tmp_path / f"{name}.txt", batch_size=3) for name in "ab"]
    assert_same_detections(*outs)


@pytest.mark.slow
def test_same_detections_with_another_number_of_threads(
    run: Callable[..., Path], photographs: Path, usual: Path
) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        second = run(photographs, batch_size=3, workers=3)
    finally:
        torch.set_num_threads(threads)
    assert_same_detections(usual, second)


@pytest.mark.slow
def test_bit_equal_after_a_resume(run: Callable[..., Path], photographs: Path) -> None:
    cut = {"chunk_size": 4, "batch_size": 2}
    whole = run(photographs, **cut)
    resumed = run(photographs, limit=4, **cut)
    run(photographs, out=resumed, **cut)
    assert len(list(resumed.iterdir())) == 2
    assert rows(resumed) == rows(whole)
