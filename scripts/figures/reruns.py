"""Draw docs/reruns.svg from `scripts/bench reruns --all --json FILE`: python -m ... FILE."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

OUT = Path(__file__).resolve().parents[2] / "docs" / "reruns.svg"
MOST = 10_000_000
SERIES = {
    r"open, s, ([\d,]+) keys in parts of 100$": ("open an output, parts of 100 images", "C1"),
    r"open, s, ([\d,]+) keys in parts of 10,000": ("open it, parts of 10,000 (compact)", "C0"),
    r"open, s, ([\d,]+) pruned keys": ("read pruned keys", "C2"),
    r"list, processor s, ([\d,]+) files": ("list a folder", "C3"),
    r"open after a day, s, ([\d,]+) keys": ("open it after 24 more runs", "C4"),
    r"compact, s, ([\d,]+) keys": ("compact these 24 parts", "C5"),
    r"commit, processor s, ([\d,]+) keys": ("commit a part of 10 images", "C6"),
}
MEASURED = ("commit", "compact", "open it after")  # without a line to the most keys
GOALS = ((100_000, 10), (1_000_000, 60))


def main() -> None:
    figures = json.loads(Path(sys.argv[1]).read_text())
    figures = figures.get("reruns", figures)
    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "segcli", "font.size": 9}
    _, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for pattern, (label, colour) in SERIES.items():
        found = ((re.match(pattern, name), value) for name, value in figures.items())
        points = sorted((int(m[1].replace(",", "")), value) for m, value in found if m)
        axes.loglog(*zip(*points, strict=True), "o-", color=colour, label=label, markersize=4)
        keys, seconds = points[-1]
        if keys < MOST and not label.startswith(MEASURED):  # in proportion
            axes.loglog([keys, MOST], [seconds, seconds * MOST / keys], ":", color=colour)
    for keys, seconds in GOALS:
        axes.plot(keys, seconds, "v", color="0.4")
        axes.annotate(f"goal: {seconds} s", (keys, seconds), (0, 6), textcoords="offset points",
                      ha="center", color="0.4")  # fmt: skip
    axes.set(xlabel="keys", ylabel="processor seconds", xlim=(800, 1.3 * MOST), ylim=(5e-3, 4e3))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    plt.savefig(OUT, metadata={"Date": None})


if __name__ == "__main__":
    main()
