"""URLs as sources: detect what is at a URL, and list its samples."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import quote, unquote, urljoin, urlsplit

from segcli.cloud.errors import StoreError
from segcli.cloud.objects import fetch
from segcli.cloud.urls import WEB, hidden_name, joined, scheme_of, shown, url_of
from segcli.errors import UsageError
from segcli.keys import key_from_path, prefixed
from segcli.sources.bucket import find_object, list_bucket
from segcli.sources.folder import is_media_name
from segcli.sources.source import Source
from segcli.types import Sample

LIST_SUFFIXES = (".txt", ".lst", ".list")
MANIFEST_SUFFIXES = (".parquet", ".pq")
_MOST_LIST_BYTES = 1 << 30


def open_url(url: str, key_prefix: str, *, containers: bool, all_folders: bool) -> Source:
    """The source at a URL that is no manifest, without listing it. Raises UsageError."""
    name = url.partition("?")[0].lower()
    if name.endswith(LIST_SUFFIXES):
        return Source(shown(url), lambda: _list_lines(url, key_prefix))
    if scheme_of(url) in WEB or (scheme_of(url) == "hf" and is_media_name(url)):
        return _one(Sample(_name(posixpath.basename(shown(url))), url), key_prefix)
    if is_media_name(url) and (found := find_object(url)) is not None:
        name = posixpath.basename(url)
        return _one(Sample(name, url, None, found.size, found.mtime_ns), key_prefix)
    root, left_out = url.rstrip("/"), set[str]()

    def listed(wanted: Callable[[str], bool] | None = None) -> Iterator[Sample]:
        return list_bucket(
            root,
            key_prefix,
            wanted,
            containers=containers,
            all_folders=all_folders,
            left_out=left_out,
        )

    return Source(root, listed, sift=listed, left_out=left_out)


def _one(sample: Sample, key_prefix: str) -> Source:
    """A source of a single object; the key of `sample` is its name."""
    sample = replace(sample, key=prefixed(key_from_path(sample.key), key_prefix))
    return Source(posixpath.dirname(shown(sample.path)), lambda: iter([sample]))


def is_root(location: str) -> bool:
    """Whether keys are relative to this URL: it is not the URL of a list or a file."""
    url = url_of(location)
    if url is None:
        return False
    name = url.partition("?")[0].lower()
    return not (is_media_name(name) or name.endswith((*LIST_SUFFIXES, *MANIFEST_SUFFIXES)))


def sample_of_key(root: str, key: str, path: str) -> Sample:
    """The sample with the key `key`, whose object is at `path` below the URL `root`."""
    if scheme_of(root) in WEB:
        name, mark, query = path.partition("?")
        path = quote(name) + mark + query
    return Sample(key, joined(root, path))


def url_sample(written: str, key_prefix: str = "") -> Sample | None:
    """The sample of a URL in a list or a manifest; None if it is a path.

    Its key is the URL without anything that may be a credential; a hash takes the place of a
    parameter `key`, so that no two images have one key.
    """
    url = url_of(written)
    if url is None:
        return None
    return Sample(prefixed(key_from_path(shown(url) + hidden_name(url)), key_prefix), url)


def _name(name: str) -> str:
    path, mark, query = name.partition("?")
    return unquote(path) + mark + query


def _list_lines(url: str, key_prefix: str) -> Iterator[Sample]:
    """The samples of a list; relative lines are resolved from the location of the list."""
    try:
        data = fetch(url, limit=_MOST_LIST_BYTES).data
    except StoreError as error:
        raise UsageError(f"cannot read the list {shown(url)}: {error}") from None
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError:
        raise UsageError(
            f"the list {shown(url)} is not UTF-8 text; expected one URL or path per line"
        ) from None
    for line in text.splitlines():
        written = line.strip()
        if not written:
            continue
        if (sample := url_sample(written, key_prefix)) is None:
            key = prefixed(key_from_path(written), key_prefix)
            sample = Sample(key, below(url, written))
        yield sample


def below(url: str, written: str) -> str:
    """The URL of a path that is written in the list or manifest at `url`."""
    if scheme_of(url) in WEB:
        return urljoin(urlsplit(url)._replace(query="", fragment="").geturl(), written)
    return f"{posixpath.dirname(url)}/{written}"
