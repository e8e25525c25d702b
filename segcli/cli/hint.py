"""Suggests to users of the default model a better model that can be fetched."""

from __future__ import annotations

from segcli.pipeline import PredictOptions


def better_model(options: PredictOptions) -> str | None:
    """A line for the end of the first run of an output with the default model, else None."""
    if options.model or options.weights or options.categories or options.dry_run:
        return None
    from segcli.models.catalogue import describe, recommended
    from segcli.store import peek

    if peek(options.out) is not None:
        return None
    found = describe()
    used = next((row for row in found["models"] if row["model"] == found["default"]), None)
    better = recommended(found)
    if used is None or better is None or used["weights"] != "shipped":
        return None
    return (
        f"{len(better['categories'])} categories at {better['ap']:.0f} AP instead of "
        f"{len(used['categories'])}: segcli weights fetch {better['model']}"
    )
