"""What `segcli models` lists."""

from __future__ import annotations

from typing import Any

from segcli.errors import UsageError
from segcli.models import registry


def describe() -> dict[str, Any]:
    """Every variant of every family, and the plugins that could not be loaded; loads no torch."""
    installed = registry.plugins()
    try:
        _, info = registry.find(None)
        default = f"{info.family}/{info.variant}"
    except UsageError:
        default = ""
    rows = [
        _variant(f"{plugin.name}/{variant}")
        for plugin in installed
        for variant in (plugin.family.variants if plugin.family else ())
    ]
    broken = [{"family": p.name, "error": p.error} for p in installed if p.error]
    return {"default": default, "models": rows, "broken": broken}


def _variant(model: str) -> dict[str, Any]:
    """One row; categories and scores are those of the weights where there are any."""
    weights: str | None = None
    try:
        found = registry.locate(model, None)
        info = found.info
        ships = found.path in registry.shipped(info.family).values()
        weights = "shipped" if ships else str(found.path)
        if found.path == registry.NO_WEIGHTS:
            weights = "not needed"
    except UsageError:
        _, info = registry.find(model)
    return {
        "model": model,
        "weights": weights,
        "categories": list(info.categories),
        "short_px": info.resize.short,
        "long_px": info.resize.long,
        "default_score": info.default_score,
        "default_scores": info.default_scores,
    }
