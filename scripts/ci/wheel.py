"""Build the wheel, install it where no source is located, and predict there with its model.

An editable install finds every file of the checkout; this finds only what the wheel brings.
"""

import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

import pyarrow.dataset as ds

ROOT = Path(__file__).resolve().parents[2]
UV = ROOT / ".venv/uv/bin/uv"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", name)
        run(*build, cwd=ROOT)
        use(Path(name))


def use(room: Path) -> None:
    """Installs the wheel in `room` into an environment of its own there, and predicts with it."""
    wheel = next(room.glob("*.whl"))
    python = environment(room / "venv")
    run(UV, "pip", "install", "--quiet", "--no-deps", "--python", python, wheel, cwd=room)
    where = "import segcli, segcli_blocks; print(segcli.__file__)"
    imported = subprocess.check_output([python, "-c", where], cwd=room, text=True)
    if not imported.startswith(str(room)):
        sys.exit(f"wheel: segcli was imported from {imported.strip()}, not from the wheel")
    run(sys.executable, "-m", "scripts.data.samples", room / "images", cwd=ROOT)
    segcli, out = python.with_name("segcli"), room / "masks.parquet"
    run(segcli, "doctor", cwd=room)
    run(segcli, "predict", room / "images", "--out", out, "--quiet", cwd=room)
    report = room / "report.html"
    run(segcli, "report", out, "--images", room / "images", "--out", report, cwd=room)
    table = ds.dataset(out).to_table(columns=["key", "category", "score"])
    people = table.filter((ds.field("category") == "person") & (ds.field("score") > 0.5))
    if "grace_hopper.jpg" not in people["key"].to_pylist():
        sys.exit(f"wheel: no person in grace_hopper.jpg; {table.num_rows} rows in all")
    size_mb = wheel.stat().st_size / 1e6
    print(f"wheel: {wheel.name}, {size_mb:.1f} MB, segments from elsewhere: {table.num_rows} rows")


def environment(folder: Path) -> Path:
    """A fresh environment with links to what .venv holds, segcli and its hooks left out."""
    venv.create(folder, symlinks=True)
    ours = Path(sysconfig.get_path("purelib"))
    theirs = folder / ours.relative_to(ROOT / ".venv")
    for package in ours.iterdir():
        if "segcli" not in package.name:
            (theirs / package.name).symlink_to(package)
    return folder / "bin/python"


def run(*command: object, cwd: Path) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=cwd)


if __name__ == "__main__":
    main()
