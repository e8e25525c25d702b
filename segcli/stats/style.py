"""The style of plots, as PNG and as SVG that follows light and dark mode."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from segcli.files import write_bytes, write_text

PAPER, INK, FAINT, LINE = "#ffffff", "#1d1d1f", "#5f6167", "#8a8a8e"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titlepad": 5,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "segcli",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.12,  # inches
    "figure.constrained_layout.h_pad": 0.1,
}
# What the SVG shows where the reader's system is dark; categories keep their colours.
_DARK = (("fill", PAPER, "#17181a"), ("fill", INK, "#ececee"), ("fill", FAINT, "#a6a8ae"))
_DARK_STYLE = "".join(f'[style*="{p}: {old}"]{{{p}:{new}!important}}' for p, old, new in _DARK)


def save(figure: Figure, path: Path) -> list[Path]:
    """`path` as .png, light, and as .svg, light or dark as the reader's system is.

    Raises OutputError.
    """
    png, svg = path.with_name(f"{path.name}.png"), path.with_name(f"{path.name}.svg")
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", dpi=144)
    write_bytes(png, pixels.getvalue())
    write_text(svg, _svg(figure))
    return [png, svg]


def _svg(figure: Figure) -> str:
    """With a dark dress; without a date: the same numbers give the same file."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    style = f"<style>@media(prefers-color-scheme:dark){{{_DARK_STYLE}}}</style>"
    return out.getvalue().replace("<defs>", f"{style}\n <defs>", 1)
