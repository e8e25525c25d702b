"""scripts/setup and its Python half, without installing anything."""

import os
import subprocess
import sys
from pathlib import Path

from scripts.ci import setup

ROOT = Path(__file__).resolve().parent.parent


def test_an_old_python_is_refused_in_one_line(tmp_path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "scripts/setup"], env={"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 1
    expected = "setup: python3 on PATH is Python 3.9.2; segcli needs Python 3.11 or newer\n"
    assert done.stderr == expected


def test_an_unknown_option_is_refused(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["setup.py", "--sytem"])
    assert setup.main() == 1
    assert "unknown option --sytem; the only one is --system" in capsys.readouterr().err


def test_pips_settings_are_handed_to_uv() -> None:
    pip = {
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://second.example/simple",
        "PIP_CERT": "ca.pem",
        "PIP_FIND_LINKS": "",
        "HOME": "somewhere",
    }
    assert setup.uv_settings(pip) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://second.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "ca.pem",
    }
    assert setup.uv_settings({}) == {}


def test_steps_follow_what_they_depend_on(tmp_path, monkeypatch) -> None:
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text("one")
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    before = setup.wanted_state()
    (tmp_path / "pyproject.toml").write_text("two")
    monkeypatch.setattr(setup, "has_header", lambda name: name == "jpeglib.h")
    after = setup.wanted_state()
    assert {step for step in before if before[step] != after[step]} <= {"project", "pillow"}
    assert before["project"] != after["project"]
    assert after["pillow"].endswith(" jpeg=True")


def test_a_finished_setup_does_nothing(tmp_path, monkeypatch, capsys) -> None:
    stamp = tmp_path / "stamp.json"
    stamp.write_text(setup.json.dumps(setup.wanted_state()))
    monkeypatch.setattr(setup, "STAMP", stamp)
    monkeypatch.setattr(setup, "PYTHON", sys.executable)
    for step in ("make_venv", "sync_packages", "install_pillow", "uv"):
        monkeypatch.setattr(setup, step, None)
    assert setup.make_environment() == 0
    assert capsys.readouterr().out.endswith(".venv is ready\n")


def test_a_new_lock_is_followed_by_what_it_takes_away(tmp_path, monkeypatch) -> None:
    stamp = tmp_path / "stamp.json"
    stamp.write_text(setup.json.dumps({**setup.wanted_state(), "packages": "another"}))
    done = []
    monkeypatch.setattr(setup, "STAMP", stamp)
    monkeypatch.setattr(setup, "PYTHON", sys.executable)
    monkeypatch.setattr(setup, "sync_packages", lambda: done.append("packages"))
    monkeypatch.setattr(setup, "install_pillow", lambda: done.append("pillow"))
    monkeypatch.setattr(setup, "uv", lambda *arguments: done.append(arguments[-1]))
    assert setup.make_environment() == 0
    assert done == ["packages", "pillow", str(ROOT)]
    assert setup.json.loads(stamp.read_text()) == setup.wanted_state()


def test_pillow_simd_is_built_without_what_imagecodecs_reads(monkeypatch, tmp_path) -> None:
    commands = []
    monkeypatch.setattr(setup, "uv", lambda *arguments, **_: commands.append(arguments))
    setup.install_pillow()
    assert commands[1][:2] == ("install", "--no-deps")
    assert {"--config-setting=webp=disable", "--config-setting=tiff=disable"} <= set(commands[1])
    assert commands[1][-1].startswith("pillow-simd==")


def test_without_a_package_manager_system_says_so_and_goes_on(monkeypatch, capsys) -> None:
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    setup.install_system_packages()
    assert capsys.readouterr().out == (
        "setup: --system knows apt-get, dnf, apk, and none of them is here\n"
    )


def test_system_packages_that_are_here_are_not_asked_for(monkeypatch) -> None:
    commands = []

    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(setup.shutil, "which", lambda name: name if name == "apt-get" else None)
    monkeypatch.setattr(setup.subprocess, "run", run)
    setup.install_system_packages()
    assert [command[:2] for command in commands] == [["dpkg", "-s"]] * 2
    assert "libjpeg-dev" in commands[0]
    assert commands[1][2] == "chromium"
