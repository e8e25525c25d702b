"""`segcli viz` and `segcli report` from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from segcli.cli import app
from segcli.errors import UsageError
from segcli.export.import_annotations import import_annotations
from segcli.masks import rle
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    mask = np.zeros((60, 80), bool)
    mask[10:40, 20:60] = True
    segment = Segment(0, 0.8, (20.0, 10.0, 40.0, 30.0), 1200, rle.encode(mask))
    records = []
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (80, 60), "grey").save(tmp_path / "images" / name)
        records.append(Record(Sample(name, "", size_bytes=1, mtime_ns=1), 60, 80, [segment]))
    path = tmp_path / "masks.parquet"
    settings = Settings({"source_root": str(tmp_path / "images")}, {"default_score": 0.5})
    with open_output(path, settings, carried={}, categories=(("car",), (3,))) as output:
        output.commit(records)
    return path


def run(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_viz_says_what_it_did(masks, tmp_path):
    result = run("viz", masks, "--out", tmp_path / "out", "--categories", "car", "--no-labels")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "masks with a score of at least 0.5, the model's default",
        "2 pictures with 2 masks",
    ]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.jpg", "b.jpg"]


def test_skipped_images_are_exit_code_1(masks, tmp_path):
    (tmp_path / "images/b.jpg").write_bytes(b"damaged")
    result = run("viz", masks, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "skipped b.jpg: " in result.stderr
    assert "1 picture with 1 mask, 1 image skipped" in result.stderr
    for command, out in (("viz", "q"), ("report", "q.html")):
        result = run(command, masks, "--out", tmp_path / out, "--quiet")
        assert result.exit_code == 1
        assert result.stderr == "1 image skipped; without --quiet, each one is named\n"
    result = run("report", masks, "--out", tmp_path / "r.html")
    assert result.exit_code == 1
    assert "r.html: 1 picture," in result.stderr


def test_missing_files_alone_are_no_failure(masks, tmp_path):
    (tmp_path / "images/b.jpg").unlink()
    for command, out in (("viz", "out"), ("report", "r.html")):
        result = run(command, masks, "--out", tmp_path / out)
        assert result.exit_code == 0
        assert "skipped b.jpg: no such file" in result.stderr
        assert "1 image skipped because of missing file" in result.stderr
        result = run(command, masks, "--out", tmp_path / out, "--quiet")
        assert (result.exit_code, result.stderr.count("missing file")) == (0, 1)
    (tmp_path / "images/a.jpg").write_bytes(b"damaged")
    result = run("viz", masks, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "1 image skipped because of missing file, 1 for other reasons" in result.stderr
    (tmp_path / "images/a.jpg").unlink()
    for command, out in (("viz", "out"), ("report", "r.html")):  # perhaps the wrong folder
        assert run(command, masks, "--out", tmp_path / out).exit_code == 1


def test_annotations_have_no_threshold_and_need_the_images(masks, tmp_path):
    square = [[4, 4, 20, 4, 20, 20, 4, 20]]
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 48, "width": 64}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": square}],
    }
    (tmp_path / "ann.json").write_text(json.dumps(document))
    Image.new("RGB", (64, 48)).save(tmp_path / "images/a.jpg")
    out = tmp_path / "in.parquet"
    import_annotations(None, tmp_path / "ann.json", out)
    for command, target in (("viz", "pictures"), ("report", "r.html")):
        with pytest.raises(UsageError, match="--images is needed: the masks were imported from"):
            run(command, out, "--out", tmp_path / target)
        result = run(command, out, "--out", tmp_path / target, "--images", tmp_path / "images")
        assert result.exit_code == 0
        first = result.stderr.splitlines()[0]
        assert first == "all masks, because annotations have no default score; see --min-score"
    (tmp_path / "empty").mkdir()
    result = run("viz", out, "--out", tmp_path / "x", "--images", tmp_path / "empty")
    assert result.exit_code == 1
    assert "no image was found; --images SOURCE states where they are" in result.stderr


def test_a_report(masks, tmp_path):
    result = run("report", masks, "--out", tmp_path / "r.html", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    "words",
    [
        ("report", "{}/masks.parquet", "--out", "{}/images/a.jpg"),
        ("stats", "{}/masks.parquet", "--format", "csv", "--out", "{}/images/a.jpg"),
        ("export", "{}/masks.parquet", "--to", "coco", "--out", "{}/images/a.jpg"),
        ("eval", "--gt", "a.json", "--pred", "{}/masks.parquet", "--json", "{}/images/a.jpg"),
        ("manifest", "{}/images", "--out", "{}/images/a.jpg"),
    ],
)
def test_no_page_or_table_overwrites_an_image(masks, tmp_path, words):
    before = (tmp_path / "images/a.jpg").read_bytes()
    with pytest.raises(UsageError, match="is an image and would be overwritten"):
        run(*(word.format(tmp_path) for word in words))
    assert (tmp_path / "images/a.jpg").read_bytes() == before


def test_wrong_usage(masks, tmp_path):
    with pytest.raises(UsageError, match="nothing to write"):
        run("viz", masks)
    with pytest.raises(UsageError, match="does not exist"):
        run("report", tmp_path / "none.parquet")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["viz", "report"])
def test_neither_needs_torch(masks, tmp_path, command):
    code = (
        "import sys; from segcli.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "assert 'PIL' in sys.modules and 'torch' not in sys.modules"
    )
    out = tmp_path / ("r.html" if command == "report" else "out")
    subprocess.run(
        [sys.executable, "-c", code, command, str(masks), "--out", str(out)],
        check=True,
        capture_output=True,
    )
