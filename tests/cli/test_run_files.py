"""What a run leaves for programs that watch over it: metrics and a log of JSON lines."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from segcli.cli.json_log import json_log
from segcli.cli.metrics import metrics_file
from segcli.cli.running import Reports, run_and_report
from segcli.cli.summary_file import summary_file
from segcli.errors import Locked, OutputError, UsageError
from segcli.pipeline import PredictOptions
from segcli.pipeline import run as running
from segcli.pipeline.events import Note, Progress, Report, Summary

SUMMARY = Summary(
    "m.parquet", images=5, failed=1, static=2, earlier=7, categories={"car": 3, 'a "b"\\': 1},
    lag_mean_s=40.0, lag_max_s=90.5,
)  # fmt: skip


def metrics(path: Path) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(path.read_text())
    return {
        (
            sample.name.removeprefix("segcli_"),
            *(v for _, v in sorted(sample.labels.items(), reverse=True)),
        ): sample.value
        for family in families
        for sample in family.samples
    }


def ended(path: Path, *events: Summary, out: str = "m.parquet", error: type | None = None) -> None:
    with metrics_file(path, out, lambda event: None) as report:
        for event in events:
            report(event)
        if error is not None:
            raise error("no")


def test_metrics_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "run.prom"
    before = time.time()
    ended(path, SUMMARY)
    found = metrics(path)
    expected = {
        "run_images": 5, "run_failed_images": 1, "run_static_images": 2, "run_skipped_images": 7,
        "run_lag_mean_seconds": 40, "run_lag_max_seconds": 90.5, "run_exit_code": 1,
        "run_out_of_time": 0,
    }  # fmt: skip
    assert {name: found[name, "m.parquet"] for name in expected} == expected
    assert found["run_masks", "m.parquet", "car"] == 3
    assert found["run_masks", "m.parquet", 'a "b"\\'] == 1
    assert before <= found["last_success_timestamp_seconds", "m.parquet"] <= time.time()
    assert os.listdir(tmp_path) == ["run.prom"]


def test_a_run_that_fails_keeps_the_time_of_the_last_success(tmp_path: Path) -> None:
    path = tmp_path / "run.prom"
    with pytest.raises(Locked):
        ended(path, error=Locked)
    found = metrics(path)
    assert found["run_exit_code", "m.parquet"] == 4
    assert ("last_success_timestamp_seconds", "m.parquet") not in found
    ended(path, SUMMARY)
    success = metrics(path)["last_success_timestamp_seconds", "m.parquet"]
    for error, code in ((OutputError, 7), (KeyboardInterrupt, 130), (RuntimeError, 70)):
        with pytest.raises(error):
            ended(path, error=error)
        found = metrics(path)
        assert found["run_exit_code", "m.parquet"] == code
        assert found["run_images", "m.parquet"] == 0
        assert found["last_success_timestamp_seconds", "m.parquet"] == success
    path.write_text("{ not metrics\n")
    ended(path, SUMMARY)  # the file is replaced
    assert metrics(path)["run_images", "m.parquet"] == 5
    with pytest.raises(OutputError, match="cannot write"):
        ended(path / "below.prom", SUMMARY)


def test_the_log_has_every_event_of_every_run(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    seen: list[object] = []
    with json_log(path, "run-1", seen.append) as report:
        for images in range(3):
            report(Progress(images, 0, 0, 1.0, 1.0, None, None))
        report(Note("a note"))
        report(SUMMARY)
    with pytest.raises(Locked), json_log(path, "run-2", seen.append):
        raise Locked("in use")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["run"], line["event"]) for line in lines] == [
        ("run-1", "progress"), ("run-1", "note"), ("run-1", "summary"), ("run-1", "ended"),
        ("run-2", "ended"),
    ]  # fmt: skip
    assert (lines[3]["exit_code"], lines[3]["error"]) == (1, None)
    assert (lines[4]["exit_code"], lines[4]["error"]) == (4, "in use")
    assert len(seen) == 5
    with pytest.raises(OutputError, match="cannot append"), json_log(tmp_path, "r", seen.append):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_log_on_a_full_disk_does_not_end_a_run() -> None:
    seen: list[object] = []
    with json_log(Path("/dev/full"), "run-1", seen.append) as report:
        report(SUMMARY)
    assert seen == [SUMMARY]


def test_an_output_whose_path_is_not_utf_8_has_metrics(tmp_path: Path) -> None:
    path = tmp_path / "run.prom"
    ended(path, SUMMARY, out=os.fsdecode(b"m\xff.parquet"))
    assert metrics(path)["run_images", "m?.parquet"] == 5


@pytest.mark.parametrize("kind", [metrics_file, summary_file])
def test_a_file_that_cannot_be_written_does_not_hide_the_error_of_a_run(
    kind: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    seen: list[Note] = []
    with pytest.raises(Locked, match="in use"), kind(tmp_path / "file" / "f", "m", seen.append):
        raise Locked("in use")
    assert ["cannot write" in note.message for note in seen] == [True]
    with pytest.raises(OutputError), kind(tmp_path / "file" / "f", "m", seen.append):
        pass


def test_all_files_are_written_and_the_priority_is_lowered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []

    def predict(options: PredictOptions, *, report: Report) -> Summary:
        report(SUMMARY)
        return Summary("m.parquet", images=5)

    monkeypatch.setattr(os, "nice", asked.append)
    monkeypatch.setattr(running, "predict", predict)
    monkeypatch.setattr("segcli.pipeline.predict", predict)
    files = [tmp_path / name for name in ("run.json", "run.prom", "runs.jsonl")]
    options = PredictOptions(source="in", out=tmp_path / "m.parquet")
    run_and_report(options, Reports("text", True, *files), nice=10)
    assert asked == [10]
    assert json.loads(files[0].read_text())["run"] == options.run_id
    assert ("run_images", str(options.out)) in metrics(files[1])
    assert json.loads(files[2].read_text().splitlines()[-1])["run"] == options.run_id
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("number", [2, 3, 4])
def test_files_inside_the_output_are_refused(number: int, tmp_path: Path) -> None:
    options = PredictOptions(source="in", out=tmp_path / "m.parquet")
    files: list[Path | None] = [None, None, None]
    files[number - 2] = tmp_path / "m.parquet" / "run.txt"
    with pytest.raises(UsageError, match="may contain only parts"):
        run_and_report(options, Reports("text", True, *files))
    assert os.listdir(tmp_path) == []


def test_two_reports_in_one_file_are_refused_before_the_run(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    same = tmp_path / "sub" / ".." / "run.log"
    options = PredictOptions(source=str(tmp_path), out=tmp_path / "m.parquet")
    with pytest.raises(UsageError, match="--metrics and --log-json are the same file"):
        run_and_report(options, Reports("text", True, None, path, same))
    with pytest.raises(UsageError, match="--summary-json and --metrics are the same file"):
        run_and_report(options, Reports("text", True, path, path, None))
    assert not path.exists()
