"""Create .venv from requirements.lock with uv; each step runs only if its inputs have changed.

Needs python3 (3.11 or newer) with venv; brings its own uv into .venv/uv.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

UV = "uv==0.13.8"
ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin/python"
STAMP = VENV / "segcli-setup.json"  # step -> what it was done for

# What the build of Pillow-SIMD looks for. Without it plain Pillow is installed, whose wheel has it.
JPEG_HEADER = "jpeglib.h"

# WebP, TIFF and JPEG 2000 are read through imagecodecs: on every machine the same decoder.
WITHOUT = ("webp", "tiff", "jpeg2000")

# Package manager -> how to ask whether packages are here, how to install them, which ones.
SYSTEM = {
    "apt-get": (
        ["dpkg", "-s"],
        [["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "--no-install-recommends"]],
        "gcc libc6-dev python3-dev python3-venv zlib1g-dev libjpeg-dev",
    ),
    "dnf": (
        ["rpm", "-q"],
        [["dnf", "install", "-qy"]],
        "gcc python3-devel zlib-devel libjpeg-turbo-devel",
    ),
    "apk": (
        ["apk", "info", "-e"],
        [["apk", "add", "-q"]],
        "gcc musl-dev python3-dev zlib-dev libjpeg-turbo-dev",
    ),
}

# The tests open the HTML report in a browser.
BROWSER = {"apt-get": "chromium fonts-dejavu-core", "dnf": "chromium", "apk": "chromium"}


def main() -> int:
    unknown = set(sys.argv[1:]) - {"--system"}
    if unknown:
        return fail(f"unknown option {' '.join(sorted(unknown))}; the only one is --system")
    if "--system" in sys.argv:
        install_system_packages()
    try:
        return make_environment()
    except subprocess.CalledProcessError as error:
        command = " ".join(str(part) for part in error.cmd)
        return fail(f"failed with exit code {error.returncode}: {command}")


def make_environment() -> int:
    """Bring each step up to date; what has not changed is neither touched nor asked for."""
    wanted = wanted_state()
    done = json.loads(STAMP.read_text()) if STAMP.is_file() else {}
    if done != wanted:
        if done.get("python") != wanted["python"]:
            done = make_venv(wanted["python"])
        if done.get("packages") != wanted["packages"]:
            sync_packages()
            done = {"python": wanted["python"], "packages": wanted["packages"]}
            STAMP.write_text(json.dumps(done))
        if done.get("pillow") != wanted["pillow"]:
            install_pillow()
        if done.get("project") != wanted["project"]:
            uv("install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
        STAMP.write_text(json.dumps(wanted))
    print(f"setup: {VENV.name} is ready")
    return 0


def wanted_state() -> dict[str, str]:
    """What each step depends on."""
    return {
        "python": f"{platform.python_version()} {UV} {ROOT}",
        "packages": digest(ROOT / "requirements.lock"),
        "pillow": f"{shutil.which('cc')} avx2={has_avx2()} jpeg={has_header(JPEG_HEADER)}",
        "project": digest(ROOT / "pyproject.toml"),
    }


def make_venv(python: str) -> dict[str, str]:
    """.venv with this very Python, and uv in a private environment inside it."""
    for folder, options in ((VENV, ["--without-pip"]), (VENV / "uv", [])):
        try:
            run(sys.executable, "-m", "venv", "--clear", *options, str(folder))
        except subprocess.CalledProcessError:
            print("setup: python3 cannot make environments (Debian, Ubuntu: python3-venv)")
            raise
    run(str(VENV / "uv/bin/python"), "-m", "pip", "install", "--quiet", UV)
    return {"python": python}


def sync_packages() -> None:
    """Everything the lock names but Pillow-SIMD, which is built for this machine."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = VENV / "requirements.txt"
    print("setup: installing what requirements.lock pins, 5 GB with torch's libraries", flush=True)
    pinned.write_text("\n".join(line for line in lines if not line.startswith("pillow")))
    uv("sync", str(pinned))


def install_pillow() -> None:
    """Pillow-SIMD for this processor, or plain Pillow of its version where it cannot be built."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    simd = next(line.partition(" ")[0] for line in lines if line.startswith("pillow-simd=="))
    compiler = "cc -mavx2" if has_avx2() else "cc"
    # No cache: uv keeps built wheels by version alone, not by what they were built with.
    # No config: pyproject.toml tells uv to leave plain Pillow out.
    options = ("install", "--no-deps", "--no-cache", "--no-config", "--reinstall")
    log = VENV / "pillow-simd.log"
    print("setup: building Pillow-SIMD, about a minute", flush=True)
    try:
        uv("uninstall", "pillow", "pillow-simd", log=log)  # both would write the same files
        settings = [f"--config-setting={library}=disable" for library in WITHOUT]
        uv(*options, *settings, simd, log=log, CC=compiler)
    except subprocess.CalledProcessError:
        plain = simd.replace("-simd", "").partition(".post")[0]
        uv(*options, plain)
        print(
            f"setup: Pillow-SIMD could not be built ({log.relative_to(ROOT)} says why), so plain "
            "Pillow decodes, more slowly; `scripts/setup --system` installs compiler and headers"
        )


def install_system_packages() -> None:
    """Ask the distribution for what is missing; where that cannot be, say so and go on."""
    manager = next((name for name in SYSTEM if shutil.which(name)), None)
    if manager is None:
        print(f"setup: --system knows {', '.join(SYSTEM)}, and none of them is here")
        return
    ask, install, packages = SYSTEM[manager]
    # The browser apart: a distribution without it shall still give the headers.
    for wanted in (packages.split(), BROWSER[manager].split()):
        if subprocess.run([*ask, *wanted], capture_output=True).returncode != 0:
            install_packages(install, wanted)


def install_packages(install: list[list[str]], packages: list[str]) -> None:
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"] if shutil.which("sudo") else None
    try:
        if as_root is None:
            raise PermissionError("neither root nor sudo")
        for command in install:
            names = packages if "update" not in command else []
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run([*as_root, *command, *names], check=True, env=environment)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"setup: --system could not install {' '.join(packages)}: {error}")


def uv(*arguments: str, log: Path | None = None, **variables: str) -> None:
    """`uv pip ...` on .venv, with pip's settings handed on, for uv reads none of them."""
    loudness = [] if log or sys.stdout.isatty() else ["--quiet"]
    command = [str(VENV / "uv/bin/uv"), "pip", *loudness, *arguments, "--python", str(PYTHON)]
    environment = {**uv_settings(os.environ), **os.environ, **variables}
    if log is None:
        run(*command, env=environment)
        return
    with log.open("a") as file:
        run(*command, env=environment, stdout=file, stderr=subprocess.STDOUT)


def uv_settings(pip: Mapping[str, str]) -> dict[str, str]:
    """uv's names for what pip's variables say; an extra index counts as much as the first there."""
    names = {
        "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
        "PIP_EXTRA_INDEX_URL": "UV_INDEX",
        "PIP_FIND_LINKS": "UV_FIND_LINKS",
        "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
        "PIP_DEFAULT_TIMEOUT": "UV_HTTP_TIMEOUT",
        "PIP_CERT": "SSL_CERT_FILE",
    }
    settings = {uv_name: pip[name] for name, uv_name in names.items() if pip.get(name)}
    if "UV_INDEX" in settings:
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return settings


def run(*command: str, **options: Any) -> None:
    subprocess.run(command, check=True, cwd=ROOT, **options)


def has_avx2() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and " avx2 " in cpuinfo.read_text()


def has_header(name: str) -> bool:
    folders = (Path("/usr/include"), Path("/usr/local/include"))
    return any((f / name).is_file() or any(f.glob(f"*/{name}")) for f in folders)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fail(message: str) -> int:
    print(f"setup: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
