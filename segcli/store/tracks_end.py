"""Keep where the tracks of an output ended when the part that stores it is removed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from segcli.store.directory import list_parts
from segcli.store.part_file import read_footer
from segcli.store.place import Place


def keep_tracks(place: Place, going: Collection[str]) -> None:
    """Store it in another part, if one of the parts `going` has it and another part stays."""
    footers = [read_footer(place.directory / name) for name in going]
    found = [footer.tracking for footer in footers if footer.tracking is not None]
    staying = [name for name in list_parts(place.directory) if name not in going]
    if not found or not staying:
        return
    newest = max(found, key=lambda state: state["number"])
    rows, footer, state = place.read(staying[0])
    if footer.tracking is None or footer.tracking["number"] < newest["number"]:
        place.replace(staying[0], rows, replace(footer, tracking=newest), state)
