"""What footers state of tracks, kept up to date when parts are removed or rewritten."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pyarrow as pa

from segcli.store.directory import list_parts
from segcli.store.footer import Footer
from segcli.store.part_file import normalized_keys, read_footer
from segcli.store.place import Place


def keep_tracks(place: Place, going: Collection[str]) -> None:
    """Store where the tracks ended in another part, if one of the parts `going` has it and another
    part stays."""
    footers = [read_footer(place.directory / name) for name in going]
    found = [footer.tracking for footer in footers if footer.tracking is not None]
    staying = [name for name in list_parts(place.directory) if name not in going]
    if not found or not staying:
        return
    newest = max(found, key=lambda state: state["number"])
    rows, footer, state = place.read(staying[0])
    if footer.tracking is None or footer.tracking["number"] < newest["number"]:
        place.replace(staying[0], rows, replace(footer, tracking=newest), state)


def note_rewritten(footer: Footer, old: pa.Table, new: pa.Table) -> Footer:
    """The footer of a part in which the rows `old` of some images are replaced by `new`: it names
    the images whose masks are in no track any more, or not yet."""
    import pyarrow.compute as pc

    if not footer.tracked:
        return footer
    lost = old.filter(pc.is_valid(old["track_id"]))["key"]
    found = new.filter(pc.is_valid(new["mask"]))["key"]
    keys = [*footer.rewritten, *normalized_keys(lost).to_pylist(), *found.to_pylist()]
    return replace(footer, rewritten=tuple(dict.fromkeys(keys)))
