"""The list of `segcli models`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segcli.errors import UsageError
from segcli.models import registry
from segcli.models.fetch import missing_modules
from segcli.models.speeds import read_speeds
from segcli.plugin import Family
from segcli.types import ModelInfo

STATES = ("here", "fetch", "browser", "train")
"""How to get a model's weights, in the order of the list."""


def describe() -> dict[str, Any]:
    """Every variant of every family, and the plugins that could not be loaded; loads no torch.

    Models that can be used at once come first, then those to fetch, by published AP.
    """
    installed = registry.plugins()
    try:
        _, info = registry.find(None)
        default = f"{info.family}/{info.variant}"
    except UsageError:
        default = ""
    speeds = read_speeds()
    rows = [
        {**_variant(plugin.family, info), "speed": speeds.get(f"{plugin.name}/{info.variant}")}
        for plugin in installed
        if plugin.family
        for info in plugin.family.variants.values()
    ]
    rows.sort(key=lambda row: _rank(row, default))
    broken = [{"family": p.name, "error": p.error} for p in installed if p.error]
    return {"default": default, "models": rows, "broken": broken}


def _rank(row: dict[str, Any], default: str) -> tuple[object, ...]:
    return (
        STATES.index(row["state"]),
        row["model"] != default,
        -(row["ap"] or 0),
        row["model"],
    )


def _variant(family: Family, info: ModelInfo) -> dict[str, Any]:
    """One row; categories and scores are those of the weights if they are installed."""
    model = f"{info.family}/{info.variant}"
    published = family.published.get(info.variant)
    weights: str | None = None
    state = "train" if published is None else "browser" if published.by_hand else "fetch"
    card: Path | None = None
    try:
        found = registry.locate(model, None)
        info, state = found.info, "here"
        ships = found.path in registry.shipped(info.family).values()
        weights = "shipped" if ships else str(found.path)
        if found.path == registry.NO_WEIGHTS:
            weights = "not needed"
        card = found.path.with_suffix(".md")
    except UsageError:
        pass
    return {
        "model": model,
        "state": state,
        "weights": weights,
        "ap": published and published.ap,
        "keypoint_ap": published and published.keypoint_ap,
        "ap_images": published and published.ap_images,
        "source": published and published.source,
        "licence": published and published.licence,
        "non_commercial": published.non_commercial if published else None,
        "size_mb": published and published.about_mb,
        "url": published and published.url,
        "by_hand": (published and published.by_hand) or None,
        "recommended": bool(published and published.recommended),
        "missing": {module: family.requires[module] for module in missing_modules(family)},
        "card": str(card) if card and card.is_file() else None,
        "categories": list(info.categories),
        "short_px": info.resize.short,
        "long_px": info.resize.long,
        "default_score": info.default_score,
        "default_scores": info.default_scores,
    }


def recommended(found: dict[str, Any]) -> dict[str, Any] | None:
    """The best recommended model that can be fetched and used here; None if there is none, or if
    one of them is already installed."""
    usable = [row for row in found["models"] if row["recommended"] and not row["missing"]]
    if any(row["state"] == "here" for row in usable):
        return None
    return max(usable, key=lambda row: row["ap"] or 0, default=None)
