"""URLs of objects: known schemes, splitting, and removal of credentials for messages."""

from __future__ import annotations

import re
from hashlib import blake2b
from os import PathLike, fspath
from urllib.parse import urlsplit, urlunsplit

BUCKETS = ("s3", "gs", "az")
"""Schemes of stores that can be listed and written to."""

WEB = ("https", "http")
SCHEMES = (*BUCKETS, *WEB, "hf")

_URL = re.compile(rf"({'|'.join(SCHEMES)}):/{{1,2}}(?=[^/])", re.IGNORECASE)
_SECRET = re.compile(
    r"x-(amz|goog)-.*|awsaccesskeyid|googleaccessid|signature|sig|expires|policy|key-pair-id|"
    r"(access_?|auth_?|id_?)?token|(api_?)?key|password|passwd|pwd|secret|credentials?|auth|jwt",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(r"x-(amz|goog)-signature|signature|sig", re.IGNORECASE)
_AZURE_NAMES = "sv st se sr sp sip spr ss srt skoid sktid skt ske sks skv"
_OF_AZURE = frozenset(_AZURE_NAMES.split())
"""What stands next to `sig`; other servers have parameters of these short names, too."""


def is_url(location: str | PathLike[str]) -> bool:
    """Whether it names an object or a bucket and not a file."""
    return url_of(location) is not None


def url_of(location: str | PathLike[str]) -> str | None:
    """The URL that a path stands for: pathlib writes s3://bucket as s3:/bucket. None for a file."""
    text = fspath(location)
    found = _URL.match(text)
    return None if found is None else f"{found[1].lower()}://{text[found.end() :]}"


def scheme_of(url: str) -> str:
    return url.partition("://")[0]


def shown(location: str | PathLike[str]) -> str:
    """A path or URL as messages name it: without anything that could be a credential.

    Names, passwords and the fragment of a URL are left out, and so are the parameters of a query
    that sign it (X-Amz-Signature, sig, token, key and the like). A URL may stand behind NAME=.
    """
    url = url_of(location)
    if url is None:
        name, equals, rest = fspath(location).partition("=")
        return f"{name}={shown(rest)}" if equals and is_url(rest) else fspath(location)
    if scheme_of(url) not in WEB:
        return f"{scheme_of(url)}://{_without_login(url.partition('://')[2])}"
    try:
        parts = urlsplit(url)
    except ValueError:  # such as a bracket in a password: what comes after that is shown
        rest = re.split(r"[?#]", url.partition("://")[2])[0].rpartition("@")[2]
        return f"{scheme_of(url)}://{rest}"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, _without_secrets(parts.query), ""))


def has_login(url: str) -> bool:
    """Whether the URL of a bucket has a name or a password."""
    return not {*url.partition("://")[2].partition("/")[0]}.isdisjoint(":@")


def _without_login(rest: str) -> str:
    """What follows the scheme. No bucket is named with a colon, so with one, the slash after it may
    be a part of a password."""
    authority = rest.partition("/")[0]
    if "@" in authority:
        return rest[authority.rfind("@") + 1 :]
    return rest[rest.rfind("@") + 1 :] if ":" in authority else rest


def hidden_name(url: str) -> str:
    """ "#" and a hash of the parameters `key` of a web address, which `shown` leaves out but which
    may name the object; "" without one, and for a signed address, whose parameters vary."""
    _, _, query = url.partition("?")
    pairs = [pair.partition("=") for pair in query.partition("#")[0].split("&")]
    if scheme_of(url) not in WEB or any(_SIGNATURE.fullmatch(name) for name, _, _ in pairs):
        return ""
    named = "&".join(value for name, _, value in pairs if name.lower() == "key")
    return f"#{blake2b(named.encode(), digest_size=6).hexdigest()}" if named else ""


def _without_secrets(query: str) -> str:
    pairs = [(pair.partition("=")[0], pair) for pair in query.split("&")]
    names = {name.lower() for name, _ in pairs}
    secret = _OF_AZURE if "sig" in names else frozenset[str]()
    kept = [p for name, p in pairs if not (_SECRET.fullmatch(name) or name.lower() in secret)]
    return "&".join(kept)


def split_bucket(url: str) -> tuple[str, str]:
    """ "s3://bucket/a/b.jpg" -> ("s3://bucket", "a/b.jpg"); the key has no slash at its ends."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key.strip("/")


def joined(root: str, key: str) -> str:
    """The URL of what lies at `key` below `root`."""
    return f"{root.rstrip('/')}/{key}"
