"""Write the table of evidence into docs/methods.md: python -m scripts.figures.families_table.

What the tests and the code say is counted. Speeds come from docs/methods/speed.json:
scripts/bench families --all --json docs/methods/speed.json
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/methods.md"
SPEEDS = ROOT / "docs/methods/speed.json"
BEGIN, END = "<!-- evidence -->", "<!-- /evidence -->"
_KEYS = ROOT / "tests/golden/keys"
_TESTS = ROOT / "tests/plugins"
# How the names of key lists begin, where it is not the name of the family.
_PUBLISHED = {
    "cascade": ("d2_cascade", "mmdet1_htc"),
    "maskrcnn": ("tv_maskrcnn", "tv_keypointrcnn", "d2_mask_rcnn"),
    "maskscoring": ("ms_R",),
    "pointrend": ("d2_pointrend",),
    "rfdetr": ("rfdetr_seg_nano",),
    "solo": ("solo", "decoupled_solo"),
}


class Evidence(NamedTuple):
    """What there is for a family; `lines` are those of its own code, without empty ones."""

    name: str
    parity: int  # tests that compare with recordings or with another implementation
    checkpoints: int
    keys: int
    overfits: bool
    lines: int


def evidence() -> list[Evidence]:
    """Of all families of this repository, by name."""
    folders = sorted((ROOT / "plugins").glob("segcli_*"))
    tests = {path.name: path.read_text() for path in sorted(_TESTS.glob("test_*.py"))}
    return [_of(folder, tests) for folder in folders if folder.name != "segcli_blocks"]


def _of(folder: Path, tests: dict[str, str]) -> Evidence:
    name = folder.name.removeprefix("segcli_")
    own = {file: text for file, text in tests.items() if re.search(rf"\b{folder.name}\b", text)}
    text = "\n".join(own.values())
    prefixes = _PUBLISHED.get(name, (name,))
    keys = [key for key in _lists() if key.startswith(prefixes) and f'"{key}"' in text]
    return Evidence(
        name,
        sum(_parity(file, test) for file, all_of in own.items() if "kit.parity" in all_of
            for test in re.findall(r"def (test_\w+)", all_of)),
        len(keys),
        sum(_length(_lists()[key]) for key in keys),
        "import learn" in text,
        sum(bool(line.strip()) for path in folder.glob("*.py")
            for line in path.read_text().splitlines()),
    )  # fmt: skip


def _parity(file: str, test: str) -> bool:
    """Whether a test compares numbers with those of another implementation."""
    if re.search("load|published|refused|missing|learn", test):
        return False
    return "parity" in file or bool(re.search("equal|recording|transformers", test))


def _lists() -> dict[str, Path]:
    return {path.name.partition(".")[0]: path for path in _KEYS.iterdir()}


def _length(path: Path) -> int:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    return sum("\t" in line and not line.startswith("key\t") for line in text.splitlines())


def speed(family: str) -> str:
    """Images per processor second of the variants that were measured, the fastest and slowest."""
    measured = json.loads(SPEEDS.read_text()) if SPEEDS.is_file() else {}
    figures = measured.get("families", measured)
    found = [
        value for name, value in figures.items()
        if re.fullmatch(rf"{family}/\S+ images/s(, model alone)?", name)
    ]  # fmt: skip
    if not found:
        return "not measured"
    low, high = f"{min(found):.2g}", f"{max(found):.2g}"
    note = ", model alone" if f"{family}/" in " ".join(n for n in figures if "alone" in n) else ""
    return (low if low == high else f"{low} to {high}") + note


def rows(found: list[Evidence]) -> list[str]:
    """The table's lines, the first two of them its head."""
    lines = [
        "| family | tests of parity | published checkpoints (keys) | overfits two images "
        "| images per processor second | lines of code |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        keys = f"{one.checkpoints} ({one.keys:,})" if one.checkpoints else "none"
        lines.append(
            f"| `{one.name}` | {one.parity or 'none'} | {keys} | {'yes' if one.overfits else 'no'} "
            f"| {speed(one.name)} | {one.lines} |"
        )
    return lines


def main() -> None:
    """Replace the table in the page."""
    block = "\n".join([BEGIN, *rows(evidence()), END])
    text = re.sub(f"{BEGIN}.*{END}", lambda _: block, PAGE.read_text(), flags=re.DOTALL)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
