"""Error messages of stores, without URLs."""

from __future__ import annotations

import errno
import re
from enum import Enum

from segcli.errors import UsageError

_STATUS = re.compile(r"status code: (\d{3}[ A-Za-z]*)")
_TRIES = re.compile(r"after (\d+) retries")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_WORDS = (
    ("account must be", "the environment does not name the account: AZURE_STORAGE_ACCOUNT_NAME"),
    ("timed out", "the server did not answer in time"),
    ("dns error", "the name of the server is not known"),
    ("connect", "no connection to the server"),
    ("Content-Length", "the server does not state the size"),
    ("body", "the connection broke before the end"),
    ("credential", "no credentials in the environment"),
    ("error sending request", "no answer from the server"),
)


class Kind(Enum):
    MISSING = "missing"
    FORBIDDEN = "forbidden"
    EXISTS = "exists"
    CHANGED = "changed"  # a condition on the version of an object was not met
    BROKEN = "broken"  # the connection broke within an answer
    FAILED = "failed"


class ObjectError(OSError):
    """A request failed while an object was read as a file: nothing is said of what it contains."""


_OF_STORAGE = frozenset(
    {
        errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNRESET, errno.ENETDOWN,
        errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EAGAIN,
    }
)  # fmt: skip


def is_of_storage(error: BaseException) -> bool:
    """Whether the disk, the network or the server failed, perhaps only for a time: the error says
    nothing about what the file contains."""
    return isinstance(error, ObjectError) or getattr(error, "errno", None) in _OF_STORAGE


class StoreError(Exception):
    """A request that failed for good; its message names neither the URL nor a credential."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def as_os_error(self) -> OSError:
        """For code that reads files: FileNotFoundError where there is no object."""
        return (FileNotFoundError if self.kind == Kind.MISSING else ObjectError)(str(self))


def translated(error: Exception) -> StoreError:
    """obstore's error. Its own text quotes URLs, which may be signed, and the server's answer."""
    from obstore import exceptions

    text = str(error)
    match error:
        case FileNotFoundError():
            return StoreError(Kind.MISSING, _missing(text))
        case exceptions.PermissionDeniedError() | exceptions.UnauthenticatedError():
            return _forbidden(text)
        case exceptions.AlreadyExistsError():
            return StoreError(Kind.EXISTS, "it exists already")
        case exceptions.PreconditionError():
            return StoreError(Kind.CHANGED, "another process has changed it")
        case exceptions.InvalidPathError() | ValueError():
            return StoreError(
                Kind.FAILED, "a key with an empty folder name (//) or a dot as one cannot be read"
            )
    if "NoSuchBucket" in text:
        return StoreError(Kind.MISSING, "there is no such bucket")
    if (_answer(text) or "").startswith(("401", "403")):  # to a listing
        return _forbidden(text)
    kind = Kind.BROKEN if "body" in text and not _STATUS.search(text) else Kind.FAILED
    return StoreError(kind, _reason(text))


def _forbidden(text: str) -> StoreError:
    return StoreError(
        Kind.FORBIDDEN,
        f"the server forbids it ({_answer(text) or 'access denied'}); check the credentials in "
        "the environment",
    )


def _missing(text: str) -> str:
    if "NoSuchBucket" in text:
        return "there is no such bucket"
    return f"it does not exist ({_answer(text) or '404 Not Found'})"


def _reason(text: str) -> str:
    tries = _TRIES.search(text)
    after = f", after {tries[1]} retries" if tries and tries[1] != "0" else ""
    if answer := _answer(text):
        return f"the server answered {answer}{after}"
    lower = text.lower()
    found = next((words for part, words in _WORDS if part.lower() in lower), None)
    return f"{found or 'the request failed'}{after}"


def _answer(text: str) -> str | None:
    """As in "503 Service Unavailable, SlowDown"."""
    status, code = _STATUS.search(text), _CODE.search(text)
    words = [found[1].strip() for found in (status, code) if found]
    return ", ".join(words) or None


def not_installed(scheme: str, package: str, install: str) -> UsageError:
    return UsageError(f"{scheme}:// needs {package}, which is not installed: pip install {install}")
