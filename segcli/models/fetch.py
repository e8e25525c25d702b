"""Fetch published weights by name: download, check, convert and install them."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import BufferedRandom
from pathlib import Path
from urllib.parse import urlsplit

from segcli.errors import UsageError
from segcli.files import reporting
from segcli.models import registry
from segcli.models.download import Report, copy, download
from segcli.models.registry import command
from segcli.plugin import Family, Published
from segcli.types import ModelInfo

PART = ".part"
"""The suffix of an unfinished download."""
MIRROR = "SEGCLI_WEIGHTS_MIRROR"
_UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)

Note = Callable[[str], None]


def fetchable(model: str, *, accept_licence: bool) -> Published | None:
    """The weights to fetch for `model`; None if they are installed, or if it needs none.

    Raises UsageError if nothing is published, if it must be downloaded by hand, or if its licence
    was not accepted.
    """
    family, info = registry.find(model)
    if is_here(family, info):
        return None
    published = family.published.get(info.variant)
    name = f"{info.family}/{info.variant}"
    if published is None:
        raise UsageError(
            f"there are no published weights of {name}: train it with "
            f"{command('train', '--model', name)}, or choose another model; `segcli models` lists "
            "those with weights"
        )
    if published.by_hand:
        raise UsageError(
            f"the weights of {name} cannot be fetched automatically: {published.by_hand}. Open "
            f"{published.url} in a browser, save the file, then run "
            f"{command('weights', 'convert', 'FILE', '--model', name)}"
        )
    if missing := missing_modules(family):
        raise UsageError(
            f"{name} needs {missing[0]}, which is not installed: {family.requires[missing[0]]}"
        )
    if published.non_commercial and not accept_licence:
        raise UsageError(
            f"the weights of {name} are under the licence {published.licence!r}: read it at "
            f"{published.source}, and if you accept it run "
            f"{command('weights', 'fetch', name, '--accept-licence')}"
        )
    return published


def is_here(family: Family, info: ModelInfo) -> bool:
    """Whether the model can be used without fetching anything."""
    return not family.needs_weights or registry.installed(family, info) is not None


def missing_modules(family: Family) -> list[str]:
    """The modules that the family requires but are not installed; imports nothing."""
    return [module for module in family.requires if not _is_installed(module)]


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a package of its name is not there, or a broken one
        return False


def fetch(model: str, *, accept_licence: bool, report: Report, note: Note) -> Path | None:
    """Install the weights of `model`; returns their path, or None if they were already installed.

    Waits for another fetch of the same model. `report` is called with the bytes so far, `note` with
    messages. Raises UsageError (see `fetchable`; also for a missing or different file) and
    OutputError.
    """
    published = fetchable(model, accept_licence=accept_licence)
    if published is None:
        return None
    family, info = registry.find(model)
    name = f"{info.family}/{info.variant}"
    target = registry.kept(info)
    part = part_path(info)
    with reporting(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    with _alone(part, waiting=lambda: note(f"waiting for another fetch of {name}")) as file:
        if not target.is_file():
            address = mirrored(published.url)
            size = "" if published.about_mb is None else f"{published.about_mb:.0f} MB, "
            note(f"{name}: fetching {address} ({size}licence: {published.licence})")
            _fill(file, address, published, report)
            note(f"{name}: converting")
            _convert(name, part, published)
        part.unlink()
    return target


def part_path(info: ModelInfo) -> Path:
    """The path of an unfinished download."""
    return registry.kept(info).with_suffix(PART)


def mirrored(url: str) -> str | Path:
    """The address for `url`: itself, or BASE/HOST/PATH of the mirror (an address or a folder)."""
    base = os.environ.get(MIRROR)
    if not base:
        return url
    if "://" in base and "@" in urlsplit(base).netloc:  # messages name the address
        raise UsageError(f"{MIRROR}: a name or password in the address is not supported")
    place = urlsplit(url)
    scheme, separator, rest = base.partition("://")
    inside = f"{place.netloc}{place.path}"
    if not separator or scheme == "file":
        return Path(rest if separator else base) / inside
    if scheme not in ("http", "https"):
        raise UsageError(f"{MIRROR}={base}: expected a folder, or an address with https or http")
    return f"{base.rstrip('/')}/{inside}"


def _fill(file: BufferedRandom, address: str | Path, published: Published, report: Report) -> None:
    if isinstance(address, Path):
        copy(address, file, published)
    else:
        download(address, file, published, report=report)


def _convert(name: str, part: Path, published: Published) -> None:
    from segcli.models.conversion import convert

    notes = {
        "source": published.file,
        "source_url": published.url,
        "licence": published.licence,
    }
    try:
        convert(name, part, notes=notes)
    except UsageError as error:
        raise UsageError(
            f"{error}; the download stays at {part} (`segcli weights remove {name}` deletes it)"
        ) from error


@contextmanager
def _alone(part: Path, *, waiting: Callable[[], None]) -> Iterator[BufferedRandom]:
    """The file `part`, created if missing, with an exclusive lock; removed if empty."""
    while True:
        with reporting(part):
            file = part.open("a+b")
        with file:
            _lock(file, part, waiting)
            if not _is_at(part, file):  # the previous holder of the lock has removed the file
                continue
            try:
                yield file
            finally:
                if _is_at(part, file) and not part.stat().st_size:
                    part.unlink()
            return


def _is_at(path: Path, file: BufferedRandom) -> bool:
    """Whether the open file still has this name."""
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())


def _lock(file: BufferedRandom, part: Path, waiting: Callable[[], None]) -> None:
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        raise UsageError(
            f"the file system of {part.parent} has no locks ({error.strerror}), so two fetches "
            "could corrupt the file; set SEGCLI_WEIGHTS to a folder on another one"
        ) from error
