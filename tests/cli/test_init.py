"""`segcli init`: what it prints runs as printed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segcli.cli.commands import application
from segcli.errors import UsageError

AWKWARD = '50% of $HOME "it\'s" #1'
BARE = ("PATH=/usr/bin:/bin", "LOGNAME=nobody", "SHELL=/bin/sh")
STUB = r"""#!/bin/sh
printf '%s\n' "$@" > "$(dirname "$0")/arguments"
printf '%s\n' "$SEGCLI_WEIGHTS" "$XDG_DATA_HOME" > "$(dirname "$0")/environment"
echo complaint >&2
exit 4
"""


def printed(*words: object) -> str:
    ended = CliRunner().invoke(application(["init"]), ["init", *map(str, words)])
    if isinstance(ended.exception, UsageError):
        raise ended.exception
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def run_bare(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """With the environment that cron gives."""
    words = ["env", "-i", f"HOME={folder}", *BARE, *command]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


def crontab_command(text: str) -> str:
    """The command that cron makes of the one line that is not a comment."""
    (line,) = (line for line in text.splitlines() if not line.startswith("#"))
    assert line.startswith("0 * * * * ")
    return line.removeprefix("0 * * * * ").replace(r"\%", "%")


@pytest.fixture(autouse=True)
def _no_folders_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGCLI_WEIGHTS", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an awkward name and the folder `cam` in it, the current one."""
    place = tmp_path / AWKWARD
    (place / "cam").mkdir(parents=True)
    return place


@pytest.fixture
def stub(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A segcli in `place` that writes its arguments to a file and ends with exit code 4."""
    script = place / "bin" / "segcli"
    script.parent.mkdir()
    script.write_text(STUB)
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script.parent / "python"))
    monkeypatch.chdir(place)
    return script


def arguments(stub: Path) -> list[str]:
    return (stub.parent / "arguments").read_text().splitlines()


def expected(place: Path, *more: str, max_time: str = "50m") -> list[str]:
    out = ["--out", str(place / "m.parquet"), "--older-than", "5m", "--max-time", max_time]
    return ["predict", str(place / "cam"), *out, "--quiet", *more]


def test_the_crontab_line_runs_segcli_in_the_environment_of_cron(tmp_path: Path) -> None:
    (tmp_path / "cam").mkdir()
    words = ["cron", tmp_path / "cam", tmp_path / "m.parquet", "--", "--include", "100%"]
    ended = run_bare(tmp_path, "/bin/sh", "-c", crontab_command(printed(*words)))
    assert "segcli predict ended with exit code 2 on " in ended.stdout
    log = (tmp_path / "m.parquet.log").read_text()
    assert log.startswith("segcli: the folder")
    assert log.endswith(ended.stdout)


def test_cron_passes_awkward_names_as_they_are(place: Path, stub: Path) -> None:
    text = printed("cron", "cam", "m.parquet", "--", "--include", "*%$x'")
    assert "exit code 4" in text.partition("\n0 ")[0].replace("\n# ", " ")
    ended = run_bare(place, "/bin/sh", "-c", crontab_command(text))
    assert arguments(stub) == expected(place, "--include", "*%$x'")
    assert ended.stdout.startswith("segcli predict ended with exit code 4 on ")
    assert (place / "m.parquet.log").read_text() == f"complaint\n{ended.stdout}"


def test_the_script_for_slurm_passes_awkward_names_as_they_are(place: Path, stub: Path) -> None:
    text = printed("slurm", "cam", "m.parquet", "--every", "6h", "--", "--tta=flip")
    script = place / "job.sh"
    script.write_text(text)
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    assert run_bare(place, "bash", str(script)).returncode == 4
    assert arguments(stub) == expected(place, "--tta=flip", max_time="350m")
    log = str(place / "m.parquet.log").replace("%", "%%").replace('"', r"\"")
    assert f'#SBATCH --output="{log}"\n' in text
    assert "#SBATCH --time=0-06:00:00\n" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_systemd_accepts_the_units(place: Path, stub: Path, tmp_path: Path) -> None:
    text = printed("systemd", "cam", "m.parquet", "--every", "30m")
    service, _, timer = text.partition("WantedBy")[0].rpartition("\n# ")
    files = [tmp_path / "segcli-m.service", tmp_path / "segcli-m.timer"]
    files[0].write_text(service)
    files[1].write_text(f"# {timer}WantedBy=timers.target\n")
    words = ["systemd-analyze", "verify", "--man=no", *map(str, files)]
    found = subprocess.run(words, capture_output=True, text=True)
    ours = [line for line in found.stderr.splitlines() if "segcli" in line]
    assert ours == []
    files[0].write_text(service.replace(":/bin/sh", ":/bin/away"))
    found = subprocess.run(words, capture_output=True, text=True)
    assert "Command /bin/away is not executable" in found.stderr


def test_systemd_gets_its_own_escapes(
    place: Path, stub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["systemd", "cam", "m.parquet", "--", "--include", r"a b\c"]
    text = printed(*words)
    name = str(stub).replace("%", "%%").replace('"', r"\"")
    assert rf'ExecStart=:/bin/sh -c "exec \"$0\" \"$@\"" "{name}" predict ' in text
    assert r'--quiet --include "a b\\c"' in text
    assert '--quiet --key-prefix ""\n' in printed(*words[:4], "--key-prefix", "")
    assert f"StandardOutput=append:{place}/m.parquet.log\n".replace("%", "%%") in text
    monkeypatch.setattr(sys, "executable", "/opt/a b/python")
    text = printed(*words)
    assert 'ExecStart=":/opt/a b/python" -m segcli predict ' in text
    assert "OnCalendar=*-*-* *:0:00\n" in text


def test_paths_do_not_depend_on_the_current_folder(place: Path, stub: Path) -> None:
    (place / "a=b.safetensors").touch()
    options = [
        "--zones",
        "z.json",
        "--summary-json=a.json",
        "--weights",
        "a=b.safetensors",
        "--model",
        "toy",
    ]
    line = printed("cron", "north=cam", "m.parquet", "--", *options)
    run_bare(place, "/bin/sh", "-c", crontab_command(line))
    assert arguments(stub)[1] == f"north={place / 'cam'}"
    weights = ["--weights", str(place / "a=b.safetensors")]
    assert arguments(stub)[-7:] == [
        "--zones",
        f"{place}/z.json",
        f"--summary-json={place}/a.json",
        *weights,
        "--model",
        "toy",
    ]


@pytest.mark.parametrize("folder", ["bin", "a=b"])
def test_runs_find_the_weights_of_this_environment(
    folder: str, place: Path, stub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = stub.parent.rename(place / folder) / stub.name
    monkeypatch.setattr(sys, "executable", str(stub.parent / "python"))
    monkeypatch.setenv("SEGCLI_WEIGHTS", "kept $1")
    monkeypatch.setenv("XDG_DATA_HOME", "/data/home")
    run_bare(place, "/bin/sh", "-c", crontab_command(printed("cron", "cam", "m.parquet")))
    environment = stub.parent / "environment"
    assert environment.read_text().splitlines() == [f"{place}/kept $1", "/data/home"]
    environment.unlink()
    (place / "job.sh").write_text(printed("slurm", "cam", "m.parquet"))
    run_bare(place, "bash", "job.sh")
    assert environment.read_text().splitlines() == [f"{place}/kept $1", "/data/home"]
    assert arguments(stub) == expected(place)
    escaped = str(place).replace("%", "%%").replace('"', r"\"")
    settings = f'"SEGCLI_WEIGHTS={escaped}/kept $1" XDG_DATA_HOME=/data/home'
    assert f"ExecStart=:/usr/bin/env {settings} " in printed("systemd", "cam", "m.parquet")


@pytest.mark.parametrize(
    ("out", "name"),
    [("bin/m.parquet", "segcli-bin-m"), ("cam/m.parquet", "segcli-cam-m"),
     ("s3://b/2026/m.parquet", "segcli-b-m"), ("/m.parquet", "segcli-m")],
)  # fmt: skip
def test_units_have_the_name_of_the_folder_too(out: str, name: str, stub: Path) -> None:
    text = printed("systemd", "cam", out)
    assert f"/{name}.service\n" in text
    assert f"/{name}.timer\n" in text
    assert f"#SBATCH --job-name={name}\n" in printed("slurm", "cam", out)


def test_buckets_stay_as_they_are_and_given_options_replace_those_of_init(stub: Path) -> None:
    options = "--older-than=1h -q --max-time=9m"
    line = printed("cron", "s3://footage/cam", "s3://masks/m.parquet", "--", *options.split())
    assert f" predict s3://footage/cam --out s3://masks/m.parquet {options} >> " in line


@pytest.mark.parametrize(
    ("every", "times", "max_time"),
    [("1m", "* * * * *", "50s"), ("30m", "*/30 * * * *", "25m"), ("60m", "0 * * * *", "50m"),
     ("6h", "0 */6 * * *", "350m"), ("24h", "0 0 * * *", "1430m"), ("1w", "0 0 * * 0", "10070m")],
)  # fmt: skip
def test_intervals(every: str, times: str, max_time: str, stub: Path) -> None:
    line = printed("cron", "cam", "m.parquet", "--every", every)
    assert f"\n{times} '" in line  # the path of the stub is quoted
    assert f" --max-time {max_time} " in line
    assert f"{times} sbatch FILE" in printed("slurm", "cam", "m.parquet", "--every", every)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cam", "m.parquet", "--every", "90m"], "--every: expected minutes that divide"),
        (["cam", "m.parquet", "--every", "soon"], "'soon' is not a time"),
        (["away", "m.parquet"], "no such file or folder: 'away'"),
        (["cam", "away/m.parquet"], "no such folder"),
        (["cam", "m.parquet", "--", "other"], "'other' after OUT"),
        (["cam", "m.parquet", "--", "--out", "b"], "other than --out"),
        (["cam", "m.parquet", "--", "--partition-by", "hour"], "expected date, camera or"),
        (["cam", "m.parquet", "--", "--min-score", "2"], "--min-score '2': expected"),
        (["cam", "m.parquet", "--", "--older-than", "soon"], "'soon' is not a time"),
        (["cam", "m.parquet", "--", "--every", "often"], "often"),
        (["cam", "m.parquet", "--", "--prune-missing"], "contradicts --older-than of scheduled"),
        (["cam", "m.parquet", "--", "--include", "a\nb"], "control character"),
        (["cam", "m.parquet", "--", "--include", r"a\%b"], "a backslash before %"),
    ],
)
def test_what_cannot_run_is_refused(words: list[str], message: str, stub: Path) -> None:
    with pytest.raises(UsageError, match=message):
        printed("cron", *words)


def test_an_option_that_predict_does_not_have_is_refused(stub: Path) -> None:
    words = ["init", "cron", "cam", "m.parquet", "--", "--gpu"]
    ended = CliRunner().invoke(application(["init"]), words)
    assert ended.exit_code == 2
    assert "No such option: --gpu" in ended.output
