"""WebDataset shards: `key.json`, `key.txt` and `key.cls` in a tar belong to the image `key.jpg`.

Their fields ride along with the image, as the columns of a manifest do. Names and types of the
columns are decided once, from the first shards, or are those that the output has already. What is
not a plain value becomes JSON text.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from segcli.sources.archive_files import BROKEN
from segcli.types import Member

MAX_BYTES = 1 << 20  # of a sidecar
SUFFIXES = (".json", ".txt", ".cls")
_LOOKED_AT = 200  # images of a shard, when the types are decided
_MOST_COLUMNS = 200
_WINDOW = (
    64  # images that wait for a sidecar behind them; WebDataset writes them next to each other
)

_NUMBER = re.compile("-?[0-9]{1,19}")  # that may fit into 64 bits

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A member that says something of the images whose names begin with its own."""

    name: str
    data: bytes

    @property
    def stem(self) -> str:
        return self.name[: self.name.rindex(".") + 1]

    def fields(self) -> dict[str, Any]:
        """Empty where it cannot be read."""
        kind = self.name.rpartition(".")[2].lower()
        text = self.data.decode("utf-8", "replace").removeprefix("\ufeff").strip()
        if kind == "txt":
            return {"txt": text}
        if kind == "cls":
            return {"cls": int(text) if _NUMBER.fullmatch(text) else text}
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return {}
        return (
            {_text(name): v for name, v in value.items()}
            if isinstance(value, dict)
            else {"json": value}
        )


@dataclass(slots=True)
class Sidecars:
    """`types`: column -> Arrow type, None until they are decided. `unfit` are the fields of which a
    value did not ride along, because it has no column or another type."""

    types: dict[str, Any] | None = None
    unfit: set[str] = field(default_factory=set)

    def decide(self, shards: Iterable[Iterator[Member | Sidecar]]) -> None:
        """Take names and types from the first images of the shards."""
        kinds: dict[str, set[type]] = {}
        for shard in shards:
            try:
                for _, fields in islice(paired(shard), _LOOKED_AT):
                    for name, value in fields.items():
                        if len(kinds) < _MOST_COLUMNS or name in kinds:
                            kinds.setdefault(name, set()).add(type(value))
            except BROKEN:
                continue
        self.types = {name: _type_of(found - {type(None)}) for name, found in kinds.items()}

    def columns(self, fields: Fields) -> dict[str, Any]:
        """The values that ride along, as Python values of their columns' types."""
        values = {}
        for name, value in fields.items():
            if value is None:
                continue
            fitted = _fitted(value, str((self.types or {}).get(name)))
            if fitted is None:
                self.unfit.add(name)
            else:
                values[name] = fitted
        return values


def paired(members: Iterator[Member | Sidecar]) -> Iterator[tuple[Member, Fields]]:
    """Each image with the fields of its sidecars, which stand before or behind it.

    Raises one of BROKEN where the archive is damaged, after the images before.
    """
    waiting: deque[tuple[Member, dict[str, Any]]] = deque()
    recent: deque[Sidecar] = deque(maxlen=_WINDOW)
    group = None
    try:
        for member in members:
            if (now := _group(member.name)) != group:
                yield from waiting
                waiting.clear()
                recent.clear()
                group = now
            if isinstance(member, Sidecar):
                recent.append(member)
                for image, fields in waiting:
                    if image.name.startswith(member.stem):
                        fields.update(member.fields())
                continue
            found: dict[str, Any] = {}
            for sidecar in recent:
                if member.name.startswith(sidecar.stem):
                    found |= sidecar.fields()
            waiting.append((member, found))
            if len(waiting) > _WINDOW:
                yield waiting.popleft()
    except BROKEN:
        yield from waiting
        raise
    yield from waiting


def _group(name: str) -> str:
    """WebDataset's key: the path up to the first dot of the name."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _type_of(kinds: set[type]) -> Any:
    import pyarrow as pa

    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64()
    if kinds in ({float}, {int, float}):
        return pa.float64()
    return pa.string()


def _fitted(value: Any, kind: str) -> Any:
    """None where the value is none of the column's type."""
    if kind == "string":
        return _text(value if isinstance(value, str) else json.dumps(value))
    if kind == "bool":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if kind == "double":
        return float(value) if abs(value) < 1e308 else None
    return (
        value if kind == "int64" and isinstance(value, int) and -(2**63) <= value < 2**63 else None
    )


def _text(value: str) -> str:
    """JSON can hold halves of characters, which no text in UTF-8 can."""
    return value.encode("utf-8", "backslashreplace").decode()
