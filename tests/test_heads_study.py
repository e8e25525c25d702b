"""The study that compares heads: its order of images, its memory, and its tables."""

from pathlib import Path

import torch
from rectangles import targets

from scripts.studies.heads_at_equal_budget.arms import batches_of
from scripts.studies.heads_at_equal_budget.memory import canvas_of, packed, path_of, recall
from scripts.studies.heads_at_equal_budget.report import tables
from segcli.train.data import AnnotatedImage


def rows(count: int) -> list[AnnotatedImage]:
    sizes = [(480, 640) if i % 3 else (640, 480) for i in range(count)]
    return [AnnotatedImage(Path(f"{i}.jpg"), size, (), (True,)) for i, size in enumerate(sizes)]


def test_a_seed_decides_the_order_and_a_batch_has_one_canvas() -> None:
    images = rows(30)
    first, again, other = (batches_of(images, 4, seed) for seed in (1, 1, 2))
    taken = [next(first) for _ in range(14)]
    assert taken == [next(again) for _ in range(14)]
    assert taken != [next(other) for _ in range(14)]
    assert all(len({canvas_of(images[i]) for i in batch}) == 1 for batch in taken)
    epoch = [i for batch in taken[:7] for i in batch]  # 5 of 20 lying ones, 2 of 10 standing ones
    assert len(set(epoch)) == 28


def test_an_image_is_recalled_as_it_was(tmp_path: Path) -> None:
    target = targets((1, 2, 5, 7), (0, 0, 9, 9), labels=[0, 1], crowd=[False, True], side=9)
    maps = [torch.randn(1, 2, 4, 4).bfloat16(), torch.randn(1, 2, 2, 2).bfloat16()]
    torch.save(packed(maps, torch.rand(3, 4), target, (9, 8)), path_of(tmp_path, 5))
    found = recall(tmp_path, 5)
    assert all(torch.equal(a, b) for a, b in zip(found.maps, maps, strict=True))
    assert torch.equal(found.targets.masks, target.masks)
    assert torch.equal(found.targets.crowd, target.crowd)
    assert found.content == (9, 8)


def test_the_tables_have_means_deviations_and_paired_differences() -> None:
    ap = {("maskrcnn", 0): 0.20, ("maskrcnn", 1): 0.30, ("cascade", 0): 0.22, ("cascade", 1): 0.36}
    lines = [line(way, seed, value) for (way, seed), value in ap.items()]
    text = tables(lines)
    assert "val: 7 objects, 2 seeds, 9 steps of 4 images" in text
    assert "| maskrcnn | 25.0 ± 7.1 |" in text
    assert "| cascade - maskrcnn | +4.0 ± 2.8 (1 of 2) |" in text  # of 2 and 6 points


def line(way: str, seed: int, ap: float) -> dict[str, object]:
    numbers = {"AP": ap, "AP75": ap}
    interval = {name: [0.0, 0.01 if seed else -0.01, 0.1] for name in numbers}
    found = {"set": "val", "way": way, "seed": seed, "steps": 9, "batch": 4, "objects": {"a": 7}}
    found |= {"segm": numbers, "bbox": numbers, "boundary": numbers}
    if way != "maskrcnn":
        found |= {"baseline": "maskrcnn"}
        found |= {"segm difference": interval, "bbox difference": interval}
    return found
