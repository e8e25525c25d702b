"""`segcli import`, `export` and `manifest` as a user calls them."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from segcli.cli import app
from segcli.errors import UsageError

GOLDEN = Path(__file__).resolve().parent.parent / "golden/eval/cocoapi"


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_ground_truth_in_and_out_and_evaluated_against_itself(tmp_path: Path) -> None:
    truth, masks = str(GOLDEN / "instances_val2014_100.json"), str(tmp_path / "gt.parquet")
    code, told = run("import", truth, "--from", "coco", "--out", masks)
    assert code == 0
    assert told.splitlines()[0] == (
        f"20 images, 247 masks each with the score 1, from coco -> {masks}"
    )
    assert "2 crowd regions were left out" in told
    _, told = run("eval", "--gt", truth, "--pred", masks, "--json", str(tmp_path / "e.json"))
    metrics = json.loads((tmp_path / "e.json").read_text())["metrics"]
    assert metrics["AP"] == pytest.approx(1, abs=0.02)
    code, told = run("export", masks, "--to", "coco", "--out", str(tmp_path / "again.json"))
    assert told.startswith("20 images, 247 masks with scores from 0 -> ")
    assert len(json.loads((tmp_path / "again.json").read_text())["annotations"]) == 247


def test_export_of_nothing_that_exists(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        run("export", str(tmp_path / "no.parquet"), "--to", "coco", "--out", str(tmp_path / "x"))


def test_a_manifest_tells_of_broken_images(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "in/a.png")
    (tmp_path / "in/b.png").write_bytes(b"no image")
    out = str(tmp_path / "m.parquet")
    code, told = run("manifest", str(tmp_path / "in"), "--out", out, "--split", "0.9,0.1")
    assert code == 1
    assert told.startswith(f"2 images, 1 broken, 0 known before -> {out}\n")
    with pytest.raises(UsageError, match="--split"):
        run("manifest", str(tmp_path / "in"), "--out", out, "--split", "a,b")
