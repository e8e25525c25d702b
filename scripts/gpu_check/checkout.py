"""Make segcli importable from a checkout that is not installed, entry points included."""

from __future__ import annotations

import os
import sys
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def use_checkout(room: Path) -> None:
    """Put the checkout on the path of this process and of those that it starts.

    Python finds entry points in the metadata of installed packages, so `room` gets such a folder
    unless segcli is installed.
    """
    added = [ROOT, ROOT / "plugins"]
    if not metadata.entry_points(group="segcli.families"):
        added.append(metadata_folder(room / "site"))
    for path in map(str, reversed(added)):
        if path not in sys.path:
            sys.path.insert(0, path)
    earlier = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([*map(str, added), *filter(None, [earlier])])


def metadata_folder(folder: Path) -> Path:
    """A folder with the metadata of the checkout's pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"segcli-{project['version']}.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: segcli\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head, encoding="utf-8")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
