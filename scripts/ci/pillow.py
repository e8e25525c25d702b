"""Run the tests that read images with the other Pillow: plain if .venv has Pillow-SIMD.

.venv's Pillow-SIMD is built without WebP, TIFF and JPEG 2000, which are then read by imagecodecs.
Who installs segcli with pip has plain Pillow, whose wheel reads them, and a machine without a
compiler has it in .venv; then Pillow-SIMD is not tried. The test that both give equal pixels needs
the libraries in Pillow, so it runs here alone.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from scripts.ci.setup import uv_settings

ROOT = Path(__file__).resolve().parents[2]
UV = ROOT / ".venv/uv/bin/uv"
TESTS = ("tests/images", "tests/sources", "tests/viz", "tests/cli/test_predict.py")


def main() -> int:
    try:
        plain = version("pillow-simd").partition(".post")[0]
    except PackageNotFoundError:
        print("pillow: .venv has plain Pillow, with which all tests have run")
        return 0
    with tempfile.TemporaryDirectory() as name:
        python = environment(Path(name))
        options = ("--no-deps", "--no-config", "--quiet", "--python", python)
        environment_of_uv = {**uv_settings(os.environ), **os.environ}
        run(UV, "pip", "install", *options, f"pillow=={plain}", env=environment_of_uv)
        where = "import PIL, sys; print(PIL.__file__); from PIL import features as f;"
        where += "sys.exit(not {'webp', 'libtiff', 'jpg_2000'} <= set(f.get_supported()))"
        run(python, "-c", where)
        return subprocess.call([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS])


def environment(folder: Path) -> Path:
    """A fresh environment with links to what .venv holds, Pillow-SIMD left out."""
    venv.create(folder, symlinks=True)
    ours = Path(sysconfig.get_path("purelib"))
    theirs = folder / ours.relative_to(ROOT / ".venv")
    for package in ours.iterdir():
        if package.name != "PIL" and not package.name.lower().startswith("pillow"):
            (theirs / package.name).symlink_to(package)
    return folder / "bin/python"


def run(*command: object, **options: Any) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT, **options)


if __name__ == "__main__":
    sys.exit(main())
