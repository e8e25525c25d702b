"""scripts/studies/ablation: what it counts, that it resumes, and its table."""

import json
import os

import numpy as np
import pytest
import torch

from scripts.studies.ablation.__main__ import main
from scripts.studies.ablation.measures import Masks, counted, crowded, found_twice, overlaps
from scripts.studies.ablation.models import FAMILIES
from scripts.studies.ablation.report import TITLES
from scripts.studies.ablation.sweep import main as sweep


def squares(*boxes) -> np.ndarray:
    """Masks of xyxy boxes on 20 x 20 px."""
    masks = np.zeros((len(boxes), 20, 20), bool)
    for mask, (x, y, x2, y2) in zip(masks, boxes, strict=True):
        mask[y:y2, x:x2] = True
    return masks


def masks(*boxes, labels=None, scores=None) -> Masks:
    n = len(boxes)
    return Masks(np.array(labels or [0] * n), squares(*boxes), np.array(scores or [0.5] * n))


def test_overlaps_by_hand() -> None:
    iou = overlaps(squares((0, 0, 4, 4), (0, 0, 2, 4)), squares((0, 0, 4, 2), (9, 9, 10, 10)))
    assert iou.tolist() == pytest.approx(np.array([[8 / 16, 0], [4 / 12, 0]]))


def test_an_object_is_crowded_when_its_middle_is_in_anothers_box() -> None:
    shapes = squares((0, 0, 10, 10), (1, 1, 4, 4), (12, 12, 18, 18), (9, 9, 13, 13))
    assert crowded(shapes).tolist() == [False, True, False, False]


def test_a_second_hit_of_one_object_is_a_duplicate() -> None:
    truth = masks((0, 0, 8, 8), (10, 10, 18, 18))
    found = masks(
        (0, 0, 8, 8), (0, 0, 8, 7), (0, 0, 7, 8), (10, 10, 18, 18), (0, 0, 8, 8),
        scores=[0.9, 0.8, 0.05, 0.7, 0.6], labels=[0, 0, 0, 0, 1],
    )  # fmt: skip
    assert found_twice(found, truth) == 1  # one is unsure, one of another class
    assert found_twice(masks(), truth) == found_twice(found, masks()) == 0


def test_recall_is_told_apart() -> None:
    truth = masks((0, 0, 10, 10), (1, 1, 4, 4), (12, 12, 18, 18))
    figures = counted([(masks((0, 0, 10, 10), (12, 12, 18, 18)), truth), (masks(), truth)])
    assert figures["recall"] == pytest.approx(2 / 6)
    assert figures["recall_crowded"] == 0
    assert figures["recall_alone"] == pytest.approx(0.5)
    assert figures["crowded_share"] == pytest.approx(2 / 6)
    assert figures["detections_per_image"] == 1


TINY = [
    *("--steps", "1", "--batch", "1", "--side", "64", "--scenes", "4", "--seeds", "1"),
    *("--width", "64", "--device", "cpu"),
]


@pytest.mark.slow
def test_cells_are_done_once_and_told_in_a_table(tmp_path, capsys) -> None:
    out = ["--out", str(tmp_path / "out"), *TINY]
    assert main([*out, "--only", "baseline", "both"]) == 0
    cells = tmp_path / "out/cells"
    stamps = {path: path.stat().st_mtime_ns for path in cells.glob("*.json")}
    assert sorted(p.name for p in stamps) == ["crowd-baseline-0.json", "crowd-both-0.json"]
    capsys.readouterr()
    assert main([*out, "--only", "baseline", "both"]) == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    shown = capsys.readouterr().out
    assert "| baseline | 1 |" in shown
    assert "| both (PEP) | 1 |" in shown
    table = json.loads((tmp_path / "out/table.json").read_text())
    assert table["cells"]["crowd/both"]["recall_crowded"]["sd"] is None
    assert (tmp_path / "out/crowd.png").stat().st_size > 1000
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- ablation -->\nold\n<!-- end of ablation -->\nb\n")
    (tmp_path / "methods").mkdir()
    main([*out, "--report", "--into", str(page)])
    assert page.read_text().startswith("a\n<!-- ablation -->\nSettings: ")
    assert page.read_text().endswith("<!-- end of ablation -->\nb\n")
    assert "old" not in page.read_text()
    assert (tmp_path / "methods/pep-ablation-crowd.png").exists()
    with pytest.raises(SystemExit, match="other settings"):
        main([*out, "--choice", "core=0.3"])


@pytest.mark.slow
def test_all_families_have_a_cell(tmp_path) -> None:
    main(["--out", str(tmp_path), *TINY, "--only", *FAMILIES])
    table = (tmp_path / "table.md").read_text()
    assert all(f"| {TITLES[name]} | 1 |" in table for name in FAMILIES)


@pytest.mark.slow
def test_a_cell_that_another_run_does_is_left_to_it(tmp_path) -> None:
    cells = tmp_path / "cells"
    cells.mkdir()
    (cells / "crowd-baseline-0.claim").write_text(str(os.getpid()))
    (cells / "crowd-both-0.claim").write_text("")  # of a run that was killed
    main(["--out", str(tmp_path), *TINY, "--only", "baseline", "both"])
    assert sorted(path.name for path in cells.glob("*.json")) == ["crowd-both-0.json"]
    assert (cells / "crowd-baseline-0.claim").exists()


@pytest.mark.slow
def test_trained_models_are_measured_again_with_other_choices(tmp_path) -> None:
    first = ["--out", str(tmp_path / "one"), *TINY, "--only", "both"]
    main(first)
    again = ["--out", str(tmp_path / "two"), *TINY, "--only", "both"]
    main([*again, "--trained", str(tmp_path / "one"), "--choice", "confident=0.999"])
    cells = [
        json.loads((tmp_path / n / "cells/crowd-both-0.json").read_text()) for n in ("one", "two")
    ]
    assert cells[1]["originals_per_image"] == 0
    weights = [torch.load(tmp_path / n / "cells/crowd-both-0.pt") for n in ("one", "two")]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


@pytest.mark.slow
def test_a_sweep_compares_choices_on_scenes_of_its_own(tmp_path) -> None:
    main(["--out", str(tmp_path), *TINY, "--only", "both"])
    assert sweep(["--ablation", str(tmp_path), "--scenes", "2", "--models", "both"]) == 0
    text = (tmp_path / "sweep.md").read_text()
    assert "| as it is |" in text
    assert "| merging=components |" in text
