"""Requests to object stores and web servers: retried with back-off and jitter by obstore.

A store that answers 429 or 5xx, or breaks the connection, is asked again for up to a minute: less
than a worker may take without being thought to hang. A web server is asked six times.
"""

from __future__ import annotations

import base64
import contextlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from segcli.cloud.errors import Kind, StoreError, not_installed, translated
from segcli.cloud.urls import WEB, has_login, scheme_of, split_bucket

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

RETRIES: RetryConfig = {
    "max_retries": 10,
    "retry_timeout": timedelta(minutes=1),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=15),
        "base": 2,
    },
}
WEB_RETRIES = 5
CLIENT: ClientConfig = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=30),
    "timeout": timedelta(minutes=10),  # of a whole answer: 2 GB may take their time
    "allow_http": True,  # only where a URL or the environment says http://
}
_PAGE = 1000  # keys of a listing that are handed over together
_BODIES = 3  # times that a body is asked for which breaks off
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Listed(NamedTuple):  # made a million times: a frozen dataclass takes three times as long
    """An object: `key` in its bucket, `size` bytes, `mtime_ns` since 1970 (None: not stated)."""

    key: str
    size: int
    mtime_ns: int | None
    e_tag: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """`data`, and what the server says it is ("image/jpeg"), if it says anything.

    `e_tag` and `version` tell this state of the object from others; stores use one or the other.
    """

    data: bytes
    content_type: str | None
    e_tag: str | None
    version: str | None = None


def list_objects(url: str) -> Iterator[Listed]:
    """The objects below a bucket's URL, page by page in the order of the store: of their keys.

    Raises StoreError.
    """
    bucket, prefix = split_bucket(url)
    store = store_at(bucket)
    with translating():
        import obstore

        pages = obstore.list(store, prefix or None, chunk_size=_PAGE)
        for page in pages:
            for meta in page:
                yield _listed(meta)


def head(url: str) -> Listed:
    """What a store knows of one object. Raises StoreError."""
    store, key = located(url)
    with translating():
        import obstore

        return _listed(obstore.head(store, key))


def fetch_range(url: str, start: int, end: int) -> bytes:
    """The bytes of an object from `start` to before `end`. Raises StoreError."""
    for left in reversed(range(_BODIES)):
        try:
            store, key = located(url)
            with translating():
                import obstore

                return bytes(obstore.get_range(store, key, start=start, end=end))
        except StoreError as error:
            if error.kind != Kind.BROKEN or not left:
                raise
            _pause(left)
    raise AssertionError("the last try returns or raises")


def fetch(url: str, *, most: int = -1, limit: int | None = None) -> Fetched:
    """The bytes of an object, or its first `most`. Raises StoreError, also above `limit` bytes."""
    for left in reversed(range(_BODIES)):
        try:
            return _fetch_once(url, most, limit)
        except StoreError as error:
            if "does not state the size" in str(error):
                return _fetch_without_size(url, most, limit)
            if error.kind != Kind.BROKEN or not left:
                raise
            _pause(left)
    raise AssertionError("the last try returns or raises")


def _fetch_once(url: str, most: int, limit: int | None) -> Fetched:
    store, key = located(url)
    with translating():
        import obstore

        options: Any = {"range": (0, most)} if most > 0 and scheme_of(url) not in WEB else None
        found = obstore.get(store, key, options=options)
        size = found.range[1] - found.range[0]
        _check_size(size, limit)
        kind = found.attributes.get("Content-Type")
        meta, data = found.meta, bytes(found.bytes())
        if len(data) != size:
            raise StoreError(Kind.BROKEN, f"the connection broke after {len(data):,} bytes")
        return Fetched(data if most < 0 else data[:most], kind, meta["e_tag"], meta["version"])


def _fetch_without_size(url: str, most: int, limit: int | None) -> Fetched:
    """From a web server that streams its answer, which obstore does not read."""
    import urllib.request  # takes longer to load than all of the rest
    from http.client import HTTPException

    try:
        bare, headers = _login(url)
        request = urllib.request.Request(bare)
        for name, value in headers.items():
            request.add_unredirected_header(name.title(), value)
        with urllib.request.urlopen(request, timeout=30) as answer:
            data = answer.read(-1 if limit is None else limit + 1)
            _check_size(len(data), limit)
            kind = answer.headers.get("Content-Type")
    except (OSError, ValueError, HTTPException) as error:  # their texts quote the URL
        code = getattr(error, "code", None)
        words = f"the server answered {code}" if code else "the connection broke before the end"
        raise StoreError(Kind.FAILED, words) from None
    return Fetched(data if most < 0 else data[:most], kind, None)


def _pause(left: int) -> None:
    time.sleep(random.uniform(0.05, 0.2) * 2 ** (_BODIES - left))


def _check_size(size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise StoreError(
            Kind.FAILED, f"the object has {size:,} bytes; larger than {limit:,} is not read"
        )


def _listed(meta: Any) -> Listed:
    modified = (meta["last_modified"] - _EPOCH) // _MICROSECOND * 1000
    return Listed(meta["path"], meta["size"], modified or None, meta["e_tag"])


def located(url: str) -> tuple[ObjectStore, str]:
    """The client for a URL, and the key to give it. Raises StoreError."""
    if scheme_of(url) not in WEB:
        bucket, key = split_bucket(url)
        return store_at(bucket), key
    try:
        parts = urlsplit(url)
    except ValueError:
        raise StoreError(Kind.FAILED, "the URL is malformed") from None
    path = parts.path[1:]
    if parts.query or parts.fragment or not path or quote(unquote(path)) != path:
        return _exactly_at(url), ""
    # One client for all objects of a server, so that they share its connections.
    return store_at(f"{parts.scheme}://{parts.netloc}"), unquote(path)


@lru_cache(maxsize=64)
def store_at(root: str) -> ObjectStore:
    """The client of a bucket or a web server, configured by the environment. Raises StoreError."""
    return _made(root)


@lru_cache(maxsize=64)
def _exactly_at(url: str) -> ObjectStore:
    """A client whose root is the one object at this URL: its query and its spelling stay."""
    return _made(url)


def _made(url: str) -> ObjectStore:
    try:
        from obstore.store import from_url
    except ImportError:
        raise not_installed(scheme_of(url), "obstore", "'segcli[cloud]'") from None
    with translating():
        if scheme_of(url) in WEB:  # never guessed to be a bucket by its host
            from obstore.store import HTTPStore

            bare, headers = _login(url)
            options: ClientConfig = {**CLIENT, "default_headers": headers}
            # A list has hosts that are gone: some seconds for each of them must do.
            few: RetryConfig = {**RETRIES, "max_retries": min(WEB_RETRIES, RETRIES["max_retries"])}
            return HTTPStore(bare, client_options=options, retry_config=few)
        if has_login(url):
            raise StoreError(
                Kind.FORBIDDEN,
                "names and passwords in the URL of a bucket are not used: leave them out, and set "
                "the credentials in the environment",
            )
        return from_url(url, client_options=CLIENT, retry_config=RETRIES)


def _login(url: str) -> tuple[str, dict[str, str]]:
    """The URL without a name and a password, and the header that takes their place."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    if not user:
        return url, {}
    code = base64.b64encode(unquote(user).encode()).decode()
    return parts._replace(netloc=host).geturl(), {"authorization": f"Basic {code}"}


@contextlib.contextmanager
def translating() -> Iterator[None]:
    """Around requests: obstore's errors become StoreErrors."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, FileNotFoundError, ValueError) as error:
        raise translated(error) from None
