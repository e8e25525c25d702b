"""`segcli stats` from the command line."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from segcli.cli import app, main
from segcli.cli.stats_table import speed_lines
from segcli.errors import AlertFired, UsageError
from segcli.stats.show import cell as as_cell
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

CATEGORIES = (("person", 'a|"b'), (1, 3))


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    records = [
        Record(
            Sample(f"{n}.jpg", "", size_bytes=1, mtime_ns=n * 3600 * 10**9),
            100,
            100,
            [Segment(n % 2, 0.9, (1.0, 2.0, 10.0, 20.0), 150, b"x")] * n,
        )
        for n in range(4)
    ]
    path = tmp_path / "masks.parquet"
    settings = Settings({"source_root": "/archive"}, {"default_score": 0.5})
    with open_output(path, settings, carried={}, categories=CATEGORIES) as output:
        output.commit(records)
    return path


def run(*arguments):
    result = CliRunner().invoke(app, ["stats", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_the_table_names_the_score_and_the_classes(masks):
    said = run(masks)
    assert "4 images done, 1 of them without a mask of score 0.5 or more; 0 failed" in said
    assert "person" in said


def test_both_tables_say_what_their_words_mean(masks):
    """1 of the 4 images has persons, two of them."""
    for options in ((), ("--by", "hour")):
        said = run(masks, *options)
        assert any(
            line.split()[:4] == ["images", "masks", "score", "area"] for line in said.splitlines()
        )
        assert any("with it" in line and "/image" in line for line in said.splitlines())
        assert "median" in said
        assert "masks/image is over all images" in said
    row = next(line for line in run(masks).splitlines() if line.strip().startswith("person"))
    assert row.split()[:5] == ["person", "1", "2", "0.5", "2"]


def test_many_runs_are_one_line(tmp_path):
    """8,760 a year from cron; the list is there when it is asked for."""
    path = tmp_path / "masks.parquet"
    for number in range(3):
        more = {"default_score": 0.5, "started": f"2026-04-0{number + 1}", "run": f"r{number}"}
        settings = Settings({"source_root": "/archive"}, more)
        with open_output(path, settings, carried={}, categories=CATEGORIES) as output:
            output.commit([Record(Sample(f"{number}.jpg", ""), 10, 10, ())])
    said = run(path).splitlines()
    assert said[1] == ("3 runs, from 2026-04-01 to 2026-04-03: 3 images (--runs lists them)"), said
    assert sum("2026-04" in line for line in said) == 1
    listed = run(path, "--runs")
    assert [line.split()[:2] for line in listed.splitlines() if "2026" in line] == [
        [f"2026-04-0{day}", "1"] for day in (1, 2, 3)
    ]
    rows = list(csv.DictReader(io.StringIO(run(path, "--runs", "--format", "csv"))))
    assert [row["started"] for row in rows] == ["2026-04-01", "2026-04-02", "2026-04-03"]


def test_the_slowest_run_is_named():
    speeds = [(100, 10.0), (100, 200.0), (10, None)]
    runs = [
        {
            "started": f"day {n}",
            "images": images,
            "seconds": seconds,
            "images_per_s": seconds and images / seconds,
        }
        for n, (images, seconds) in enumerate(speeds)
    ]
    (line,) = speed_lines(runs)
    assert line.startswith("3 runs, from day 0 to day 2: 210 images, 1.0 per second; ")
    assert "the slowest, of day 1, 0.5" in line
    assert speed_lines(runs[:1]) == ["run of day 0: 100 images, 10.0 per second"]


def test_runs_that_are_not_known_are_refused(masks):
    with pytest.raises(UsageError, match="does not state its runs"):
        run(masks, "--runs")


def test_json_is_whole(masks):
    found = json.loads(run(masks, "--format", "json"))
    assert found["schema"] == 2
    assert {row["category"]: row["masks"] for row in found["classes"]} == {"person": 2, 'a|"b': 4}
    assert found["run"]["first"] == "1970-01-01T00:00:00"


def test_csv_survives_strange_names(masks):
    rows = list(csv.DictReader(io.StringIO(run(masks, "--format", "csv"))))
    assert [row["category"] for row in rows] == ['a|"b', "person"]
    assert float(rows[0]["per_image"]) == 1.0  # 4 masks in 4 images


def test_markdown_escapes_bars(masks):
    lines = run(masks, "--format", "markdown").splitlines()
    assert len(lines) == 4
    assert as_cell(91_811.4) == "91811"
    assert as_cell(0.12345) == "0.1235"
    assert r'a\|"b' in lines[2]


def test_parquet_goes_to_a_file(masks, tmp_path):
    run(masks, "--format", "parquet", "--by", "hour", "--out", tmp_path / "s.parquet")
    table = pq.read_table(tmp_path / "s.parquet").to_pandas()
    hours = ["1970-01-01 00:00", "1970-01-01 01:00", "1970-01-01 02:00", "1970-01-01 03:00"]
    assert list(table["group"]) == hours
    assert list(table["masks"])[0] == 0  # nothing was found in the first hour
    assert table["category"].isna().tolist() == [True, False, False, False]
    with pytest.raises(UsageError, match="give --out"):
        run(masks, "--format", "parquet")


@pytest.mark.slow
def test_plots_are_written_and_repeatable(masks, tmp_path):
    for folder in ("a", "b"):
        run(masks, "--by", "hour", "--plots", tmp_path / folder)
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert [n for n in names if n.endswith("svg")] == [
        "areas.svg",
        "classes.svg",
        "groups.svg",
        "positions.svg",
        "scores.svg",
        "together.svg",
    ]
    assert len(names) == 12
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_alert_fires(masks):
    with pytest.raises(AlertFired, match="person: count < 3: 2 now"):
        run(masks, "--alert", "person: count < 3")
    run(masks, "--alert", "person: count < 2")


def test_an_alert_names_its_group(masks):
    """Only the third hour has persons, two of them."""
    with pytest.raises(AlertFired) as fired:
        run(masks, "--by", "hour,folder", "--alert", "person: count < 2")
    assert "count < 2: 0 now in 1970-01-01 01:00 / ." in str(fired.value)
    assert "02:00 / ." not in str(fired.value)
    with pytest.raises(UsageError, match="leave out --by"):
        run(masks, "--by", "hour", "--alert", "run: failed > 0")


def test_several_groups_have_columns_in_csv_and_one_cell_in_the_table(masks):
    rows = list(csv.DictReader(io.StringIO(run(masks, "--by", "hour,folder", "--format", "csv"))))
    assert (rows[1]["hour"], rows[1]["folder"]) == ("1970-01-01 01:00", ".")
    assert "1970-01-01 01:00 / .  " in run(masks, "--by", "hour,folder")
    content = json.loads(run(masks, "--by", "hour,folder", "--format", "json"))
    assert content["by"] == ["hour", "folder"]
    assert content["groups"][1]["hour"] == "1970-01-01 01:00"


def test_the_other_side_has_filters_of_its_own(masks):
    """3.jpg against 2.jpg: three of a|"b and none, none and two persons."""
    said = run(masks, "--key", "3.jpg", "--compare", masks, "--compare-key", "2.jpg")
    assert "person: not any more (2 masks before, 0 now)" in said
    assert f"compared with {masks}: 1 image done" in said
    same = run(masks, "--where-image", "masks > 2", "--compare", masks)
    assert "nothing moved" in same
    with pytest.raises(UsageError, match="give --compare DIR"):
        run(masks, "--compare-key", "2.jpg")


def test_compare_with_itself(masks):
    assert "nothing moved" in run(masks, "--compare", masks)


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_failed_image(masks):
    """Code 1 would say that images failed."""
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "segcli", "stats", str(masks)],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (-signal.SIGPIPE, "")


def test_the_signal_is_ignored_again_after_a_command(masks, monkeypatch):
    before = signal.getsignal(signal.SIGPIPE)
    monkeypatch.setattr(sys, "argv", ["segcli", "stats", str(masks), "--format", "json"])
    with pytest.raises(SystemExit):
        main()
    assert signal.getsignal(signal.SIGPIPE) == before == signal.SIG_IGN


@pytest.mark.slow
def test_no_torch(masks):
    import subprocess
    import sys

    code = (
        "import sys; from segcli.cli import app\n"
        "try: app(['stats', sys.argv[1]])\n"
        "except SystemExit: pass\n"
        "assert 'duckdb' in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(masks)], check=True, capture_output=True)


@pytest.mark.parametrize(
    "words",
    [
        ("stats", "{}", "--out", "{}/x.csv", "--format", "csv"),
        ("stats", "{}", "--plots", "{}"),
        ("report", "{}", "--out", "{}/report.html"),
        ("export", "{}", "--to", "coco", "--out", "{}/ann.json"),
        ("export", "{}", "--to", "yolo", "--out", "{}"),
        ("eval", "--gt", "ann.json", "--pred", "{}", "--json", "{}/eval.json"),
        ("manifest", "{}/..", "--out", "{}/manifest.parquet"),
        ("viz", "{}", "--images", "{}/..", "--sheet", "{}/sheet.png"),
    ],
)
def test_no_command_writes_among_the_parts(masks, words):
    before = sorted(masks.iterdir())
    result = CliRunner().invoke(app, [word.format(masks) for word in words])
    assert isinstance(result.exception, UsageError)
    assert "only parts" in str(result.exception)
    assert sorted(masks.iterdir()) == before


def test_folders_of_a_file_are_made(masks, tmp_path):
    run(masks, "--format", "csv", "--out", tmp_path / "new/folder/days.csv")
    assert (tmp_path / "new/folder/days.csv").read_text().startswith("category,")
