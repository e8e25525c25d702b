"""Download a file over HTTPS, resume after a cut, and check its length and checksum."""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BufferedRandom
from pathlib import Path
from urllib.parse import urlsplit

from segcli import __version__
from segcli.errors import UsageError
from segcli.files import reporting
from segcli.plugin import Published

Report = Callable[[int, int | None], None]
"""Called with the number of bytes so far, and the total if it is known."""

TIMEOUT_S = 30.0  # without a byte, after which the connection counts as cut
_RETRIES = 5  # in a row without a new byte
PAUSE_S = 1.0  # before the first retry, doubled for each further one
_BLOCK = 1 << 18
_HTML = re.compile(rb"\s*<(!doctype\s+html|html)", re.IGNORECASE)
_AGAIN = "run the same command again to continue"
_BEHIND_WALLS = "behind a firewall set https_proxy or SEGCLI_WEIGHTS_MIRROR (docs/models.md)"


class _Cut(Exception):
    """The connection ended too early; the bytes so far are kept, and a retry may continue."""


@dataclass(slots=True)
class _Promise:
    """The length and sha256 of a file, from the redirect of the hub."""

    size: int | None = None
    sha256: str = ""


def download(url: str, file: BufferedRandom, expected: Published, *, report: Report) -> None:
    """Download `url` to `file`, which is open for reading and writing; existing bytes are kept.

    `url` is https, or http for a mirror that the user has set. A download is only resumed if a
    checksum can verify the result. Raises UsageError if the file does not exist or is not the
    expected one (`file` is empty then) or if the connection fails repeatedly, and OutputError if
    `file` cannot be written.
    """
    best, failures = 0, 0
    in_parts, restarted = _size(file) > 0, False
    while True:
        promise = _Promise()
        try:
            if expected.size is None or _size(file) != expected.size:
                _receive(url, file, expected, promise, report)
        except _Cut as cut:
            in_parts = True
            failures = 0 if _size(file) > best else failures + 1
            best = max(best, _size(file))
            if failures > _RETRIES:
                raise UsageError(f"cannot fetch {url}: {cut}; {_AGAIN}") from None
            time.sleep(PAUSE_S * 2.0**failures)
            continue
        if (problem := _mismatch(file, expected, promise)) is None:
            return
        _truncate(file)
        if restarted or not in_parts:
            raise UsageError(
                f"{url} is not the expected file: {problem}; it was damaged in transit or replaced "
                f"at its source ({expected.source}); nothing of it is kept"
            )
        restarted, best = True, 0  # the existing bytes may belong to another file


def copy(path: Path, file: BufferedRandom, expected: Published) -> None:
    """Fill `file` from a mirror that is a folder. Raises UsageError as `download` does."""
    _truncate(file)
    try:
        with path.open("rb") as source, reporting(file.name):
            shutil.copyfileobj(source, file, 1 << 20)
            file.flush()
    except OSError as error:
        raise UsageError(f"the mirror has no {path}: {error.strerror or error}") from error
    if problem := _mismatch(file, expected, _Promise()):
        _truncate(file)
        raise UsageError(f"{path} is not the expected file: {problem}")


def _receive(
    url: str, file: BufferedRandom, expected: Published, promise: _Promise, report: Report
) -> None:
    """One connection. Raises _Cut if a retry may help, otherwise UsageError."""
    offset = _size(file)
    answer = _open(url, offset, file, promise)
    if answer is None:
        return
    with answer:
        if offset and not (expected.sha256 or expected.md5 or promise.sha256):
            _truncate(file)  # without a checksum, the result could not be verified
            raise _Cut("the file has no checksum, so it starts again")
        offset, total = _place(answer, offset, file)
        size = expected.size or promise.size
        if "html" in (answer.headers.get("Content-Type") or ""):
            raise UsageError(_page(url, expected))
        if size is not None and total is not None and total != size:
            _truncate(file)
            raise UsageError(
                f"{url} has {total:,} bytes instead of {size:,}: it was replaced at its source "
                f"({expected.source})"
            )
        size = size or total
        file.seek(offset)
        while block := _read(answer):
            if offset == 0 and _HTML.match(block):
                raise UsageError(_page(url, expected))
            with reporting(file.name):
                file.write(block)
            offset += len(block)
            if size is not None and offset > size:
                _truncate(file)
                raise UsageError(f"{url} sends more than the {size:,} bytes that it should have")
            report(offset, size)
        with reporting(file.name):
            file.flush()
        if size is not None and offset < size:
            raise _Cut(f"the connection ended after {offset:,} of {size:,} bytes")


def _open(
    url: str, offset: int, file: BufferedRandom, promise: _Promise
) -> http.client.HTTPResponse | None:
    """The answer to a request for what follows `offset`; None when nothing does."""
    headers = {"User-Agent": f"segcli/{__version__}"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    opener = urllib.request.build_opener(_Redirects(urlsplit(url).scheme == "http", promise))
    try:
        answer = opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
        assert isinstance(answer, http.client.HTTPResponse), "no other scheme gets this far"
        return answer
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{offset}":
            return None  # the whole file is here already
        if error.code == 416:  # nothing after `offset`: the bytes belong to another file
            _truncate(file)
        elif error.code < 400:  # a redirect that urllib does not follow, to a file or in a circle
            what = error.msg.strip().splitlines()[-1]
            raise UsageError(f"{url} redirects, and not to a file over https: {what}") from None
        elif error.code not in (408, 429) and error.code < 500:
            raise UsageError(f"{url} does not exist: the server answers {error.code}") from None
        raise _Cut(f"the server answers {error.code}") from None
    except urllib.error.URLError as error:
        reason = error.reason
        hopeless = (socket.gaierror, ConnectionRefusedError, ssl.SSLCertVerificationError)
        if isinstance(reason, hopeless):
            raise UsageError(f"cannot reach {url}: {reason}; {_BEHIND_WALLS}") from None
        raise _Cut(str(reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(str(error) or type(error).__name__) from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to https, or also to http if the first address is http."""

    def __init__(self, plain: bool, promise: _Promise) -> None:
        self._schemes = ("https", "http") if plain else ("https",)
        self._promise = promise

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: object,
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in self._schemes:
            raise UsageError(
                f"{req.full_url} redirects to {newurl}, which is not https; nothing was fetched"
            )
        size, etag = headers.get("X-Linked-Size") or "", headers.get("X-Linked-ETag") or ""
        if size.isdecimal():
            self._promise.size = int(size)
        if found := re.fullmatch(r'"?([0-9a-f]{64})"?', etag):
            self._promise.sha256 = found[1]
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _place(
    answer: http.client.HTTPResponse, offset: int, file: BufferedRandom
) -> tuple[int, int | None]:
    """The offset of the answer's bytes, and the length of the whole file."""
    if answer.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range") or "")
        if found is None or int(found[1]) != offset:
            _truncate(file)
            raise _Cut("the server sent another part than it was asked for")
        return offset, None if found[2] == "*" else int(found[2])
    if offset:  # the server sends everything, whatever it was asked for
        _truncate(file)
    length = answer.headers.get("Content-Length") or ""
    return 0, int(length) if length.isdecimal() else None


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read1(_BLOCK)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Cut(str(error) or type(error).__name__) from None


def _mismatch(file: BufferedRandom, expected: Published, promise: _Promise) -> str | None:
    """The first difference of the file from the expected one."""
    size = expected.size or promise.size
    if size is not None and _size(file) != size:
        return f"it has {_size(file):,} bytes instead of {size:,}"
    file.seek(0)
    if _HTML.match(file.read(100)):
        return "it is a web page"
    for name, known in (("sha256", expected.sha256 or promise.sha256), ("md5", expected.md5)):
        if not known:
            continue
        file.seek(0)
        found = hashlib.file_digest(file, partial(hashlib.new, name, usedforsecurity=False))
        if not found.hexdigest().startswith(known):
            return (
                f"its {name} is {found.hexdigest()}, not {known}{'' if len(known) > 31 else '...'}"
            )
    return None


def _page(url: str, expected: Published) -> str:
    return (
        f"{url} answers with a web page instead of a file: the file may have moved, or the network "
        f"asks for a login; see {expected.source} for where it is now"
    )


def _size(file: BufferedRandom) -> int:
    return file.seek(0, 2)


def _truncate(file: BufferedRandom) -> None:
    with reporting(file.name):
        file.seek(0)
        file.truncate()
