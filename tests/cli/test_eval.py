"""`segcli eval` as a user calls it: tables, files, exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segcli.cli import app
from segcli.errors import GateNotMet, UsageError

GOLDEN = Path(__file__).resolve().parent.parent / "golden/eval/cocoapi"
GT = str(GOLDEN / "instances_val2014_100.json")
FOUND = str(GOLDEN / "instances_val2014_fakesegm100_results.json")


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["eval", "--gt", GT, "--pred", FOUND, *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_the_table() -> None:
    told = run()
    assert "segm by hotcoco: 20 images, 247 objects, 219 detections" in told
    assert "0.402" in told
    assert "20 images compared, matched by id; categories by id" in told


@pytest.mark.slow
def test_everything_at_once(tmp_path: Path) -> None:
    told = run(
        *("--per-class", "--errors", "--compare", FOUND, "--resamples", "10"),
        *("--plots", str(tmp_path / "plots"), "--json", str(tmp_path / "e.json")),
        *("--html", str(tmp_path / "e.html"), "--fail-under", "AP=0.4", "--min-score", "0.3"),
    )
    for word in ("cut at", "localisation", "worst images at scores from 0.3", "95 % interval"):
        assert word in told
    pictures = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert pictures == [
        "best-scores.png",
        "calibration.png",
        "confusion.png",
        "errors.png",
        "precision-recall.png",
    ]
    assert all((tmp_path / "plots" / p).read_bytes().startswith(b"\x89PNG") for p in pictures)
    content = json.loads((tmp_path / "e.json").read_text())
    assert content["metrics"]["AP"] == pytest.approx(0.40166822422665493)
    assert len(content["worst"]) == 18
    assert content["compare"]["differences"]["AP"]["difference"] == 0
    page = (tmp_path / "e.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "teddy bear" in page


def test_the_judge_and_boundaries() -> None:
    assert "segm by pycocotools" in run("--engine", "pycocotools", "--categories", "person")
    assert "boundary by pycocotools" in run("--iou", "boundary", "--categories", "person")


def test_the_gate_fails() -> None:
    with pytest.raises(GateNotMet, match="below 0.99"):
        run("--fail-under", "AP=0.1", "--fail-under", "AP50=0.99")


@pytest.mark.parametrize(
    "words",
    [
        ("--fail-under", "AP"),
        ("--fail-under", "AP=nan"),
        ("--max-dets", "1,x"),
        ("--area-ranges", "tiny"),
        ("--area-ranges", "a:5-2"),
        ("--area-ranges", "a:0-2,a:2-3"),
        ("--categories", ","),
        ("--categories", "persons"),
        ("--protocol", "lvis"),
        ("--iou", "boundary", "--errors"),
        ("--gt", "nowhere.json"),
        ("--pred", "nowhere.parquet"),
    ],
)
def test_wrong_words_are_usage_errors(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        run(*words)


def test_own_ranges_of_area() -> None:
    assert "AP_tiny" in run("--area-ranges", "tiny:0-500,rest:500-", "--max-dets", "5")


def test_lvis_on_its_ground_truth(data: Path, tmp_path: Path) -> None:
    truth = data / "eval/lvis-api/lvis_val_100.json"
    annotations = json.loads(truth.read_text())["annotations"]
    found = [
        {key: one[key] for key in ("image_id", "category_id", "segmentation")} | {"score": 1.0}
        for one in annotations
    ]
    (tmp_path / "found.json").write_text(json.dumps(found))
    words = ["--gt", str(truth), "--pred", str(tmp_path / "found.json"), "--protocol", "lvis"]
    result = CliRunner().invoke(app, ["eval", *words, "--json", str(tmp_path / "e.json")])
    assert result.exit_code == 0
    metrics = json.loads((tmp_path / "e.json").read_text())["metrics"]
    assert metrics["AP"] == pytest.approx(1)
    assert {"APr", "APc", "APf", "AR@300"} <= set(metrics)


@pytest.mark.slow
def test_a_real_process_loads_no_torch_and_exits_5() -> None:
    code = (
        "import sys; sys.argv = ['segcli', 'eval', '--gt', sys.argv[1], '--pred', sys.argv[2], "
        "'--fail-under', 'AP=0.9']\n"
        "from segcli.cli import main\n"
        "try: main()\n"
        "finally:\n"
        "    heavy = {'torch', 'pandas', 'matplotlib', 'duckdb', 'jinja2', 'pyarrow.compute'}\n"
        "    print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, GT, FOUND], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 5
    assert done.stdout.endswith("[]\n")
    assert done.stderr.splitlines()[-1].startswith("segcli: AP is 0.4017, below 0.9")


@pytest.mark.slow
def test_a_real_process_that_ends_well_has_said_all(tmp_path: Path) -> None:
    """It leaves without taking anything apart, but not before its words are out."""
    output = str(tmp_path / "gt.parquet")
    assert CliRunner().invoke(app, ["import", GT, "--from", "coco", "--out", output]).exit_code == 0
    words = ["eval", "--gt", GT, "--pred", output, "--per-class"]
    done = subprocess.run(
        [sys.executable, "-m", "segcli", *words], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0
    assert done.stderr.startswith("20 images compared")
    assert "teddy bear" in done.stdout
    assert done.stdout.split()[-6:] == ["1.000"] * 4 + ["2", "2"]
