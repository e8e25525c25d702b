"""What the command takes, shows and returns."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import segcli.cli
from segcli.cli.progress import Lines, Terminal, duration, reporter, summary_text
from segcli.cli.quantities import batch_size
from segcli.errors import Locked, UsageError
from segcli.pipeline.events import Note, Progress, Started, Summary

TOY = Path(__file__).resolve().parent.parent / "toy"
STARTED = Started("in", "out.parquet", "toy/tiny", "tiny.safetensors", "cpu", "float32", "torch", 7)
PROGRESS = Progress(50, 120, 1, 10.0, 5.0, 150, 20.0)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        pixels = np.zeros((40, 40, 3), np.uint8)
        pixels[:20, :, number] = 220
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def segcli_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """segcli_main(*words) -> (exit code, stdout, stderr), in this process."""
    monkeypatch.syspath_prepend(TOY)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["segcli", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            segcli.cli.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


@pytest.mark.slow
def test_predict_with_only_source_and_out_ends_well(
    segcli_main: Callable[..., tuple[int, str, str]], images: Path, tmp_path: Path
) -> None:
    words = ["predict", images, "--out", tmp_path / "m.parquet", "--model", "toy"]
    code, out, err = segcli_main(*words)
    assert code == 0
    assert out.startswith("3 images, 3 masks, 0 failed in ")
    assert "toy/tiny (tiny.safetensors) on cpu" in err
    assert "\x1b" not in out + err
    assert "\r" not in out + err


@pytest.mark.slow
def test_failed_image_makes_exit_code_1_and_a_query(
    segcli_main: Callable[..., tuple[int, str, str]], images: Path, tmp_path: Path
) -> None:
    import duckdb

    (images / "1.png").write_bytes(b"no")
    target = tmp_path / "it's m.parquet"
    code, out, _ = segcli_main("predict", images, "--out", target, "--model", "toy")
    assert code == 1
    assert "failed: 1.png: " in out
    query = out.strip().rpartition("by DuckDB: ")[2]
    assert [row[0] for row in duckdb.sql(query).fetchall()] == ["1.png"]


@pytest.mark.slow
def test_quiet_tells_only_what_failed(
    segcli_main: Callable[..., tuple[int, str, str]], images: Path, tmp_path: Path
) -> None:
    words = ["predict", images, "--out", tmp_path / "m.parquet", "--model", "toy", "--quiet"]
    assert segcli_main(*words) == (0, "", "")
    (images / "9.png").write_bytes(b"no")
    (images / "8.png").write_bytes((images / "0.png").read_bytes())
    code, out, err = segcli_main(*words)
    assert (code, out) == (1, "")
    lines = err.splitlines()
    assert lines[0] == "1 of 2 images failed"
    assert lines[1].startswith("failed: 9.png: ")
    assert lines[2].startswith("all failed images, by DuckDB: SELECT")


@pytest.mark.slow
def test_json_log_is_one_object_per_line(
    segcli_main: Callable[..., tuple[int, str, str]], images: Path, tmp_path: Path
) -> None:
    words = ["predict", images, "--out", tmp_path / "m.parquet", "--model", "toy"]
    code, out, err = segcli_main(*words, "--log-format", "json")
    told = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [event["event"] for event in told] == [
        "loading",
        "started",
        "progress",
        "committed",
        "summary",
    ]
    assert told[-1]["images"] == 3
    assert (told[-1]["min_score"], told[-1]["default_score"]) == (0.05, 0.3)


def test_json_log_has_the_time_the_run_and_every_failed_image(
    segcli_main: Callable[..., tuple[int, str, str]], images: Path, tmp_path: Path
) -> None:
    from segcli.store import read_settings

    for number in range(12):
        (images / f"bad{number:02d}.png").write_bytes(b"no")
    target = tmp_path / "m.parquet"
    words = ["predict", images, "--out", target, "--model", "toy", "--replicas", "0"]
    code, out, _ = segcli_main(*words, "--log-format", "json")
    told = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert {event["run"] for event in told} == {read_settings(target)["run"]}
    assert all(datetime.fromisoformat(event["time"]).tzinfo for event in told)
    failed = [event["key"] for event in told if event["event"] == "image_failed"]
    assert failed == [f"bad{number:02d}.png" for number in range(12)]
    assert all(event["reason"] for event in told if event["event"] == "image_failed")


def test_the_defaults_of_the_command_are_those_of_the_library() -> None:
    import inspect
    from dataclasses import fields

    from segcli.cli.predict import predict
    from segcli.pipeline import PredictOptions

    worded_otherwise = {"source", "out", "batch_size", "count_ahead", "command_line", "run_id"}
    worded_otherwise |= {
        "min_score",
        "class_scores",
        "slice",
        "static_age",
    }  # of other names or types
    library = PredictOptions(source="", out=Path())
    given = inspect.signature(predict).parameters
    for field in fields(PredictOptions):
        if field.name not in worded_otherwise:
            default = given[field.name].default
            assert (default or None) == (getattr(library, field.name) or None), field.name
    assert float(given["min_score"].default) == library.min_score


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", ""], "an empty argument after predict"),
        (["predict", "images", "--out", ""], "an empty argument after --out"),
        (["predict", "images", "--out=", "--quiet"], "nothing after --out="),
        (["stats", "masks.parquet", "--where", ""], "an empty argument after --where"),
        ([""], "an empty argument instead of a command"),
    ],
)
def test_variables_that_are_not_set_are_noticed(
    segcli_main: Callable[..., tuple[int, str, str]], words: list[str], said: str
) -> None:
    code, out, err = segcli_main(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"segcli: {said}")
    assert err.count("\n") == 1


def test_a_value_that_is_no_choice_is_refused(
    segcli_main: Callable[..., tuple[int, str, str]],
) -> None:
    code, _, err = segcli_main("viz", "m.parquet", "--static", "nothing")
    assert code == 2
    assert "Invalid value for '--static': 'nothing' is not one of 'repeat', 'ignore'" in err


def test_a_prefix_may_be_empty(
    segcli_main: Callable[..., tuple[int, str, str]], images: Path, tmp_path: Path
) -> None:
    words = ["predict", images, "--out", tmp_path / "m.parquet", "--model", "toy", "--dry-run"]
    assert segcli_main(*words, "--key-prefix", "")[0] == 0
    assert segcli_main(*words, "--key-prefix=")[0] == 0


def test_user_error_is_one_line_and_its_code(
    segcli_main: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, err = segcli_main("predict", tmp_path / "none", "--out", tmp_path / "m.parquet")
    assert (code, out) == (2, "")
    assert err.startswith("segcli: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (Locked("held by another"), 4, "segcli: held by another\n"),
        (KeyboardInterrupt(), 130, "segcli: interrupted\n"),
        (
            MemoryError("malloc of size 128 failed"),
            8,
            "segcli: not enough memory; committed work is complete: free some, or let the command "
            "use less (see --help), then run it again\n",
        ),
        (
            ZeroDivisionError("oh"),
            70,
            "segcli: internal error: ZeroDivisionError: oh; "
            "run again with SEGCLI_DEBUG=1 for the traceback\n",
        ),
    ],
)
def test_every_error_is_caught_in_one_place(
    segcli_main: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    told: str,
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(segcli.cli, "application", lambda _: fail)
    assert segcli_main() == (code, "", told)
    monkeypatch.setenv("SEGCLI_DEBUG", "1")
    assert "Traceback" in segcli_main()[2]


def test_near_options_and_commands_are_suggested(
    segcli_main: Callable[..., tuple[int, str, str]],
) -> None:
    code, _, err = segcli_main("predict", "x", "--out", "y", "--retry-faild")
    assert code == 2
    assert "--retry-failed" in err
    assert "Did you mean 'predict'" in segcli_main("predit")[2]


def test_version(segcli_main: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = segcli_main("--version")
    assert code == 0
    assert out.startswith("segcli 0.")


def test_help_loads_nothing_heavy() -> None:
    code = """
import sys
from segcli.cli import app
for words in [[], *([name] for name in COMMANDS)]:
    try: app([*words, "--help"])
    except SystemExit as end: assert not end.code
heavy = {"torch", "numpy", "pyarrow", "PIL", "torchvision", "duckdb", "matplotlib"}
print("heavy:", *sorted(heavy & set(sys.modules)))
"""
    commands = ["predict", "models", "doctor", "weights"]
    ended = subprocess.run(
        [sys.executable, "-c", code.replace("COMMANDS", repr(commands))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "heavy:"


@pytest.mark.slow
def test_closed_stdout_does_not_end_the_run(images: Path, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    out = tmp_path / "m.parquet"
    ended = subprocess.run(
        [sys.executable, "-m", "segcli", "predict", str(images), "--out", str(out)]
        + ["--model", "toy", "--log-format", "json"],
        env={**os.environ, "PYTHONPATH": str(TOY)},
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(list(out.iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_streams_that_were_never_open_do_not_matter(
    images: Path, tmp_path: Path, closed: str
) -> None:
    """As some daemons start their jobs."""
    out = tmp_path / "m.parquet"
    words = [sys.executable, "-m", "segcli", "predict", str(images), "--out", str(out)]
    ended = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words, "--model", "toy", "--device", "cpu"],
        env={**os.environ, "PYTHONPATH": str(TOY)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(list(out.iterdir())) == 1
    assert (tmp_path / ".m.parquet.lock").read_text().count("pid") == 1


def test_batch_size_is_a_number_or_auto() -> None:
    assert (batch_size("auto"), batch_size("12")) == (None, 12)
    for text in ("0", "-3", "many", "1.5"):
        with pytest.raises(UsageError, match=f"--batch-size {text}"):
            batch_size(text)


def test_a_line_every_30_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    show = Lines()
    for now[0] in (1.0, 29.0, 31.0, 40.0, 62.0):
        show(PROGRESS)
    line = "50 of 150 images, 5.0 images/s, 120 masks, 1 failed, 20.0 s left\n"
    assert capsys.readouterr().err == 2 * line


def test_terminal_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    with reporter("text", quiet=False) as report:
        assert isinstance(report, Lines)
    monkeypatch.setenv("TERM", "xterm")
    with reporter("text", quiet=False) as report:
        assert isinstance(report, Terminal)
        for event in (STARTED, PROGRESS, Note("a note"), Summary("out.parquet", 50, 120)):
            report(event)
    told = capsys.readouterr()
    assert "50/150" in told.err
    assert "a note" in told.err
    assert told.out.startswith("50 images, 120 masks")


def test_summaries() -> None:
    nothing = Summary("o.parquet", earlier=9, earlier_failed=2)
    assert summary_text(nothing) == (
        "nothing new to do in o.parquet: 9 images done before, "
        "2 of them failed (retry them: --retry-failed)"
    )
    planned = Summary("o.parquet", earlier=9, planned=4)
    assert summary_text(planned) == (
        "dry run: 4 images to do, 9 done before (0 of them failed); nothing was written"
    )
    some = Summary(
        "o.parquet", 5, 8, 1, (("a.png", "cut"),), repeated=2, seconds=2, images_per_s=2.5
    )
    assert summary_text(some).splitlines() == [
        "5 images, 8 masks, 1 failed in 2.0 s (2.5 images/s) -> o.parquet",
        "listed more than once, done once: 2 images",
        "failed: a.png: cut",
        "all failed images, by DuckDB: SELECT key, error FROM "
        "read_parquet('o.parquet/**/*.parquet') WHERE status = 'failed'",
    ]


def test_the_summary_names_the_score_that_people_see() -> None:
    text = summary_text(Summary("o.parquet", 5, 301, min_score=0.05, default_score=0.62))
    assert text.splitlines()[1] == (
        "masks are kept from a score of 0.05; viz, stats, report and export show those from "
        "the model's default score, 0.62"
    )
    higher = Summary("o.parquet", 5, 301, min_score=0.7, default_score=0.62)
    assert "default score" not in summary_text(higher)


def test_durations_as_people_say_them() -> None:
    assert [duration(s) for s in (8.13, 725, 12_000)] == ["8.1 s", "12 min 5 s", "3 h 20 min"]


def corrupt(picture: Image.Image) -> bytes:
    """A JPEG with a tenth missing in its middle, which libjpeg decodes with a complaint."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95)
    data, middle = file.getvalue(), len(file.getvalue()) // 2
    return data[:middle] + data[middle + len(data) // 10 :]


@pytest.mark.slow
def test_corrupt_data_are_named_and_counted_and_nothing_is_anonymous(
    images: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (images / "hurt.jpg").write_bytes(corrupt(Image.fromarray(noise)))
    environment = {**os.environ, "PYTHONPATH": str(TOY)}
    words = [sys.executable, "-m", "segcli", "predict", images, "--model", "toy"]

    def run(*more: object) -> subprocess.CompletedProcess[str]:
        command = [str(word) for word in (*words, *more)]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    quiet = run("--out", tmp_path / "a.parquet", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    warned = {row["key"]: row["warning"] for row in rows if row["warning"]}
    assert list(warned) == ["hurt.jpg"]
    assert warned["hurt.jpg"].startswith("damaged: libjpeg reports 'Corrupt JPEG data")
    strict = run("--out", tmp_path / "b.parquet", "--strict-images", "--replicas", 0)
    assert strict.returncode == 1
    assert "failed: hurt.jpg: damaged: libjpeg reports 'Corrupt JPEG data" in strict.stdout
    loud = run("--out", tmp_path / "c.parquet", "--replicas", 0)
    assert "images with a warning: 1 damaged (column `warning`" in loud.stdout
