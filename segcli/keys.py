r"""Keys of images: the path below the source, as text that maps back to the bytes on disk.

A key is the path itself, so that it can be joined with other tables. Three things are escaped,
because the key would be ambiguous otherwise:

- a byte that is not UTF-8 becomes `\xNN`;
- a path that itself ends like a frame of a video (`cam1/0800.mp4#frame=125`) becomes
  `...\#frame=125`;
- a backslash is doubled before `#`, before another backslash, before such a byte or text that looks
  like one, and at the end of the path.

The first versions escaped `#` and every backslash. Such keys are still read: they map to the same
paths, and `normalized` converts them to the current form.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

_TO_ESCAPE = re.compile(r"\\(?=[\\#\udc80-\udcff]|x[89a-f][0-9a-f]|\Z)|#(?=frame=[0-9]{1,18}\Z)")
_ESCAPED = re.compile(r"\\(?:x([89a-f][0-9a-f])|([\\#]))")
_BYTES = re.compile("[\udc80-\udcff]")
ARCHIVE_SUFFIXES = (
    ".tar", ".tar.bz2", ".tar.gz", ".tar.xz", ".tar.zst", ".tbz2", ".tgz", ".txz", ".tzst", ".zip",
    ".7z", ".rar",
)  # fmt: skip
"""Suffixes of archives; keys continue below an archive as below a folder."""

_ARCHIVE = re.compile(
    f"(?:{'|'.join(re.escape(s) for s in sorted(ARCHIVE_SUFFIXES, reverse=True))})(?=/)", re.I
)
_FRAME = re.compile(r"(?<!\\)(?:\\\\)*(#frame=([0-9]{1,18}))\Z")


def key_from_path(path: str | bytes) -> str:
    """The key of a relative path with `/`, given as bytes or with surrogates (os.fsdecode)."""
    if isinstance(path, str) and path.isascii():
        text = path
    else:
        text = os.fsencode(path).decode("utf-8", errors="surrogateescape")
    if "#" in text or "\\" in text:
        text = _TO_ESCAPE.sub(r"\\\g<0>", text)
    return _as_text(text)


def path_from_key(key: str) -> str:
    """The path of a key, without the frame; undecodable bytes are surrogates, as for open()."""
    return _path(split_frame(key)[0])


def split_frame(key: str) -> tuple[str, int | None]:
    """The key of the file and the number of the frame; None for a still image."""
    found = _FRAME.search(key) if "#" in key else None
    return (key, None) if found is None else (key[: found.start(1)], int(found[2]))


def container_of(key: str) -> str | None:
    """The key of the video or archive (by its suffix) that contains the image; None for a file."""
    own, frame = split_frame(key)
    if frame is not None:
        return own
    found = _ARCHIVE.search(key)
    return None if found is None else key[: found.end()]


def containers_of(key: str) -> Iterator[str]:
    """The keys of the video and of the archive that contain an image, the innermost first."""
    while (outer := container_of(key)) is not None:
        yield outer
        key = outer


def normalized(key: str) -> str:
    """Convert a key of any version to the current form, that of `key_from_path`."""
    if "\\" not in key:
        return key
    own, _ = split_frame(key)
    return key_from_path(_path(own)) + key[len(own) :]


def first_spelling(path: str) -> str:
    """The key of a path in the form of the first versions: every `#` and backslash escaped."""
    text = os.fsencode(path).decode("utf-8", errors="surrogateescape")
    return _as_text(text.replace("\\", "\\\\").replace("#", "\\#"))


def prefixed(key: str, prefix: str) -> str:
    """The key with `prefix` as a folder in front: "cam2" and "cam2/" are equal."""
    return key_from_path(prefix.rstrip("/") + "/") + key if prefix.strip("/") else key


def prefix_of(key: str, prefixes: Iterable[str]) -> str:
    """The longest of `prefixes` with which the key begins, in the form of `prefixed`; or ""."""
    return max((p for p in prefixes if key.startswith(p)), key=len, default="")


def _path(own: str) -> str:
    if "\\" not in own:
        return own
    text = _ESCAPED.sub(lambda m: chr(0xDC00 + int(m[1], 16)) if m[1] else m[2], own)
    return os.fsdecode(os.fsencode(text))


def _as_text(text: str) -> str:
    """The text with `\\xNN` for each surrogate."""
    return text if text.isascii() else _BYTES.sub(lambda m: f"\\x{ord(m[0]) - 0xDC00:02x}", text)
