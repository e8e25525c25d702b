"""Conditional writes of objects, and the result of a put whose answer was lost."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from segcli.cloud.errors import Kind, StoreError
from segcli.cloud.objects import Fetched, fetch, located, translating

if TYPE_CHECKING:
    from obstore import PutMode

_TRIES = 4
_PAUSE_S = 0.2


def put_new(url: str, data: bytes) -> None:
    """Create an object whole, unless there is one. Raises StoreError, with Kind.EXISTS then."""
    _put(url, data, "create")


def put_if(url: str, data: bytes, there: Fetched) -> None:
    """Replace an object whole, if it is still what was fetched.

    Raises StoreError, with Kind.CHANGED or Kind.MISSING when it is not.
    """
    state: Any = {"e_tag": there.e_tag, "version": there.version}
    _put(url, data, {name: value for name, value in state.items() if value is not None})


def find(url: str) -> Fetched | None:
    """The object, None where there is none. Raises StoreError."""
    try:
        return fetch(url)
    except StoreError as error:
        if error.kind == Kind.MISSING:
            return None
        raise


def delete(url: str) -> None:
    """Remove an object; one that is gone already is fine, too. Raises StoreError."""
    import obstore

    store, key = located(url)
    try:
        with translating():
            obstore.delete(store, key)
    except StoreError as error:
        if error.kind != Kind.MISSING:
            raise


def _put(url: str, data: bytes, mode: PutMode | dict[str, Any]) -> None:
    """A put may have been done although its answer says otherwise, or none comes: look."""
    for left in reversed(range(_TRIES)):
        try:
            _put_once(url, data, mode)
            return
        except StoreError as error:
            if error.kind == Kind.FORBIDDEN:
                raise
            there = find(url)
            if there is not None and there.data == data:
                return
            if error.kind == Kind.EXISTS and there is None:
                # A store answers so (409), too, while another write of the object is under way.
                error = StoreError(Kind.FAILED, "another write of it is under way")
            if error.kind in (Kind.EXISTS, Kind.CHANGED, Kind.MISSING) or not left:
                raise error from None
        time.sleep(random.uniform(0.5, 1.5) * _PAUSE_S * 2 ** (_TRIES - left))


def _put_once(url: str, data: bytes, mode: Any) -> None:
    import obstore

    store, key = located(url)
    with translating():
        obstore.put(store, key, data, mode=mode)
