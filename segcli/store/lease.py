"""The lock of an output in a bucket: an object that its holder renews for as long as it lives.

No clock is compared with that of another machine. Who wants the lease watches the object; when it
has not changed for as long as its holder has promised to renew it, by the watcher's own clock, it
is taken over by a conditional put, which fails when the object has changed in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from segcli.cloud.errors import Kind, StoreError
from segcli.cloud.objects import Fetched
from segcli.cloud.urls import shown
from segcli.cloud.writing import find, put_if, put_new
from segcli.errors import Locked, OutputError

LEASE_S = 60.0
"""A lease that has not been renewed for so long may be taken over."""

RELEASE_S = 10.0
"""So long the end of a run waits for its lease to be released."""

_RENEWALS = 4  # within LEASE_S
_LOOKS = 20
_MOST_S = 3600.0


@dataclass(frozen=True, slots=True)
class LeaseCheck:
    """What a process needs to see that its run still holds the lease at `url`; picklable."""

    url: str
    holder: str

    def check(self) -> None:
        """Raises Locked when another run has taken it over, OutputError when nobody knows."""
        try:
            there = find(self.url)
        except StoreError as error:
            raise OutputError(
                f"cannot read the lease {self.url}: {error}; what is committed is complete: run "
                f"the same command again when the store can be reached"
            ) from None
        if there is None or _content(there).get("holder") != self.holder:
            raise Locked(
                f"another run has taken over the output of {shown(self.url)}, because this one did "
                f"not renew its lease in time (was it stopped, or without a network?); what is "
                f"committed is complete: run the same command again when the other has ended"
            )


class Lease:
    """The lease at `url`, held and renewed by a thread until `close`. See `take`."""

    def __init__(self, url: str, there: Fetched, content: dict[str, Any]) -> None:
        self.check = LeaseCheck(url, content["holder"])
        self._url = url
        self._there = there
        self._content = content
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Release it, unless another run holds it by now.

        Without a network this ends after RELEASE_S, and the lease expires by itself.
        """
        self._ended.set()
        thread = threading.Thread(target=self._release, name="lease", daemon=True)
        thread.start()
        thread.join(RELEASE_S)

    def _release(self) -> None:
        self._thread.join()  # a renewal may be under way
        with contextlib.suppress(StoreError):  # it is another's, or expires by itself
            put_if(self._url, _bytes({**self._content, "holder": None}), self._there)

    def _renew(self) -> None:
        while not self._ended.wait(LEASE_S / _RENEWALS):
            content = {**self._content, "renewals": self._content["renewals"] + 1, "at": _now()}
            try:
                put_if(self._url, _bytes(content), self._there)
            except StoreError as error:
                if error.kind not in (Kind.CHANGED, Kind.MISSING):
                    continue  # the server may answer again in time
            if self._is_lost():
                return  # whoever commits next sees it

    def _is_lost(self) -> bool:
        """Looks which state the lease is in: a renewal whose answer got lost may have been made."""
        try:
            there = find(self._url)
        except StoreError:
            return False
        if there is None or _content(there).get("holder") != self.check.holder:
            return True
        self._there, self._content = there, _content(there)
        return False


def take(
    url: str,
    *,
    output: str,
    wait: bool,
    waiting: Callable[[str], None] | None = None,
    looks: int = _LOOKS,
) -> Lease:
    """Take the lease at `url`; `waiting` is called once when there is something to wait for.
    It is looked at `looks` times within LEASE_S.

    When a holder seems to be dead this takes as long as the lease has left, LEASE_S at most.
    Raises Locked when a holder is alive (unless `wait`), OutputError.
    """
    seen: Fetched | None = None
    since = time.monotonic()
    try:
        while True:
            there = find(url)
            content = {} if there is None else _content(there)
            if there is None or content.get("holder") is None:
                if (lease := _put(url, there)) is not None:
                    return lease
                continue
            if seen is None or there.data != seen.data:
                if seen is not None and not wait:  # it has just been renewed
                    raise Locked(
                        f"another process works on {output}{_who(content)}; wait for it with "
                        f"`wait=True`, or choose another `out`"
                    )
                if seen is None and waiting is not None:
                    waiting(f"looking whether another process works on {output}{_who(content)}")
                seen, since = there, time.monotonic()
            left = since + _promised(content) - time.monotonic()
            if left <= 0:
                if (lease := _put(url, there)) is not None:
                    return lease
                continue
            time.sleep(min(left, LEASE_S / looks))
    except StoreError as error:
        raise OutputError(f"cannot take the lease {shown(url)}: {error}") from None


def look_s() -> float:
    """The seconds between two looks at the lease of another."""
    return LEASE_S / _LOOKS


@dataclass(frozen=True, slots=True)
class Holder:
    """The state of a lease that somebody holds, who may be dead by now."""

    there: Fetched
    content: Mapping[str, Any]

    @property
    def promised(self) -> float:
        """The seconds within which the holder renews it."""
        return _promised(self.content)

    @property
    def process(self) -> dict[str, Any]:
        """{"pid", "host"}"""
        return {"pid": self.content.get("pid"), "host": self.content.get("host")}


def find_holder(url: str) -> Holder | None:
    """None when the lease is free. Raises StoreError."""
    there = find(url)
    content = {} if there is None else _content(there)
    if there is None or content.get("holder") is None:
        return None
    return Holder(there, content)


def release(url: str, holder: Holder) -> None:
    """Free the lease of a holder that has not renewed it; it sees that before it commits again.

    Does nothing if it has been renewed meanwhile. Raises StoreError.
    """
    try:
        put_if(url, _bytes({**holder.content, "holder": None}), holder.there)
    except StoreError as error:
        if error.kind not in (Kind.CHANGED, Kind.MISSING):
            raise


def _put(url: str, there: Fetched | None) -> Lease | None:
    """None when another process was faster."""
    content = {
        "holder": uuid4().hex,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "seconds": LEASE_S,
        "renewals": 0,
        "at": _now(),  # for people; nobody compares it
    }
    data = _bytes(content)
    try:
        if there is None:
            put_new(url, data)
        else:
            put_if(url, data, there)
    except StoreError as error:
        if error.kind in (Kind.EXISTS, Kind.CHANGED, Kind.MISSING):
            return None
        raise
    now = find(url)
    return Lease(url, now, content) if now is not None and now.data == data else None


def _promised(content: Mapping[str, Any]) -> float:
    """The seconds within which the holder renews it."""
    seconds = content.get("seconds")
    return min(float(seconds), _MOST_S) if isinstance(seconds, int | float) else LEASE_S


def _content(there: Fetched) -> dict[str, Any]:
    """What the holder has written; a lease that cannot be read is free."""
    try:
        content = json.loads(there.data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _bytes(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _who(content: dict[str, Any]) -> str:
    if "pid" in content and "host" in content:
        return f" (process {content['pid']} on {content['host']})"
    return ""
