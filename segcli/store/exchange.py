"""Replace several parts in a bucket by one, in one step for all readers of segcli.

A store changes one object at a time. So an object next to the output names the parts there that do
not count, and whoever lists the parts leaves these out:

    s3://bucket/.masks.parquet.exchange     {"id": ..., "hidden": [...], "made": false}

The new part is put while it is hidden. Then one put hides the old parts instead: that is the
exchange. The old parts are removed, and nothing is hidden any more. A run that finds an exchange of
a killed one undoes or finishes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import uuid4

from segcli.cloud.errors import Kind, StoreError
from segcli.cloud.objects import Fetched
from segcli.cloud.writing import delete, find, put_if, put_new


@dataclass(frozen=True, slots=True)
class Exchange:
    """`hidden` parts do not count: the new one, or the old ones once the exchange is `made`. `id`
    differs from one exchange to the next."""

    id: str = ""
    hidden: tuple[str, ...] = ()
    made: bool = False
    there: Fetched | None = field(default=None, compare=False)


def find_exchange(url: str) -> Exchange:
    """That of the output at `url`. Raises StoreError."""
    there = find(_exchange_url(url))
    if there is None:
        return Exchange()
    try:
        facts: dict[str, Any] = json.loads(there.data)
        return Exchange(facts["id"], tuple(facts["hidden"]), bool(facts["made"]), there)
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            Kind.FAILED, "the object .exchange next to it was written by another version of segcli"
        ) from None


def exchange(url: str, old: Sequence[str], new: str, data: bytes, held: Callable[[], None]) -> None:
    """Replace the parts `old` by `new`, another one, which has these bytes.

    `held` raises where the lease has been lost. Raises StoreError, with Kind.CHANGED if another run
    has taken over, and what `held` raises.
    """
    if new in old:
        raise ValueError(f"{new} would be hidden, and removed after a kill")
    finish_exchange(url, held)
    held()
    state = _put(url, Exchange(uuid4().hex, (new,), False, find_exchange(url).there))
    held()
    put_new(f"{url}/{new}", data)
    held()
    _put(url, replace(state, hidden=tuple(old), made=True))
    finish_exchange(url, held)


def finish_exchange(url: str, held: Callable[[], None]) -> None:
    """Remove the parts that are hidden, if there are any. Raises StoreError."""
    state = find_exchange(url)
    if not state.hidden:
        return
    held()
    for name in state.hidden:
        delete(f"{url}/{name}")
    try:
        _put(url, replace(state, hidden=(), made=True))
    except StoreError as error:
        if error.kind != Kind.CHANGED:  # another shard has finished it
            raise


def _put(url: str, state: Exchange) -> Exchange:
    facts = asdict(replace(state, there=None))
    del facts["there"]
    data = json.dumps(facts).encode()
    if state.there is None:
        put_new(_exchange_url(url), data)
    else:
        put_if(_exchange_url(url), data, state.there)
    return replace(state, there=find(_exchange_url(url)))


def _exchange_url(url: str) -> str:
    folder, _, name = url.rstrip("/").rpartition("/")
    return f"{folder}/.{name}.exchange"
