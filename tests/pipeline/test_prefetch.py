"""Images come in order, within a budget of bytes, and a bad one does not stop the others."""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from segcli_toy import TINY

from segcli.pipeline.stages import clips, prefetch
from segcli.pipeline.stages.prefetch import Budget, Prefetch
from segcli.sources import open_source
from segcli.types import Image, Sample
from segcli.video.every import parse_every


def test_images_come_in_order_and_fitted(pictures: Callable[..., Path]) -> None:
    samples = list(open_source(str(pictures(20))))
    loaded = list(Prefetch(TINY, threads=4, max_pixels=10**6).load(samples))
    assert [item.sample for item in loaded] == samples
    assert [item.index for item in loaded] == list(range(20))
    # 48x64 scaled to a short side of 64.
    assert {item.image.pixels.shape for item in loaded if item.image} == {(64, 85, 3)}


def test_bad_image_has_a_reason_and_the_others_come(pictures: Callable[..., Path]) -> None:
    folder = pictures(3)
    (folder / "0001.png").write_bytes(b"no picture")
    loaded = list(Prefetch(TINY, threads=2, max_pixels=10**6).load(list(open_source(str(folder)))))
    assert [item.image is None for item in loaded] == [False, True, False]
    assert loaded[1].error


def test_unexpected_exception_is_a_failed_image(
    pictures: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(sample: Sample) -> bytes:
        raise KeyError("odd")

    monkeypatch.setattr(prefetch, "read", broken)
    loaded = list(
        Prefetch(TINY, threads=1, max_pixels=10**6).load(list(open_source(str(pictures(1)))))
    )
    assert loaded[0].error == "KeyError: 'odd'"


def test_out_of_memory_is_a_failed_image(
    pictures: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(sample: Sample) -> bytes:
        raise MemoryError

    monkeypatch.setattr(prefetch, "read", greedy)
    loaded = list(
        Prefetch(TINY, threads=1, max_pixels=10**6).load(list(open_source(str(pictures(1)))))
    )
    assert loaded[0].error == "not enough memory to decode it"


def test_images_larger_than_the_budget_pass_one_by_one(pictures: Callable[..., Path]) -> None:
    samples = list(open_source(str(pictures(12))))
    loaded = list(Prefetch(TINY, threads=4, max_pixels=10**6, limit_bytes=1).load(samples))
    assert all(item.image is not None for item in loaded)


def decoding() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("decode")]


def test_leaving_early_ends_the_threads(pictures: Callable[..., Path]) -> None:
    prefetch = Prefetch(TINY, threads=4, max_pixels=10**6, limit_bytes=1)
    stream = prefetch.load(list(open_source(str(pictures(12)))))
    next(stream)
    assert decoding()
    stream.close()
    assert not decoding()


def test_budget_makes_the_second_wait_for_the_first() -> None:
    budget = Budget(limit=10)
    budget.take(0, 8)
    passed = threading.Event()
    waiter = threading.Thread(target=lambda: (budget.take(1, 5), passed.set()))
    waiter.start()
    assert not passed.wait(0.05)
    budget.keep(0, 2)
    assert passed.wait(60)
    waiter.join()


def test_budget_lets_the_first_in_line_exceed_it() -> None:
    budget = Budget(limit=10)
    budget.take(1, 9)
    budget.take(0, 100)  # would hang if the first in line had to wait for the second
    budget.leave(0)
    budget.take(1, 100)


def test_sample_with_data_is_not_read_from_disk(pictures: Callable[..., Path]) -> None:
    (sample,) = open_source(str(pictures(1)))
    inside = replace(sample, data=Path(sample.path).read_bytes(), path="nowhere.png")
    (loaded,) = Prefetch(TINY, threads=1, max_pixels=10**6).load([inside])
    assert loaded.image is not None


def test_clips_of_one_chunk_are_decoded_at_the_same_time(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each clip waits before its first frame until the other one has begun."""
    begun = threading.Barrier(2, timeout=30)

    def together(*args: Any, **options: Any) -> Iterator[Callable[[], Image]]:
        begun.wait()
        yield from clips.clip_images(*args, **options)

    monkeypatch.setattr(prefetch, "clip_images", together)
    for name in ("a.mkv", "b.mkv"):
        shutil.copy(clip, tmp_path / name)
    samples = list(open_source(str(tmp_path), every=parse_every("10f")))
    loaded = list(Prefetch(TINY, threads=2, max_pixels=10**6).load(samples))
    assert [item.error for item in loaded] == [None] * len(samples)
    assert [item.sample for item in loaded] == samples
    assert len({item.sample.path for item in loaded}) == 2
