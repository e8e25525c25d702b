r"""Keys: names are bytes on disk and text in Parquet, and one maps exactly to the other.

An invalid UTF-8 byte becomes `\xNN`, a backslash `\\`, a literal `#` `\#`: an unescaped `#` begins
the frame of a video, as in `cam1/0800.mp4#frame=125`.
"""

from __future__ import annotations

import os
import re

_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|([\\#]))")


def key_from_path(path: str | bytes) -> str:
    """A relative path, `/`-separated, as bytes or with surrogates (os.fsdecode) -> its key."""
    text = os.fsencode(path).decode("utf-8", errors="surrogateescape")
    text = text.replace("\\", "\\\\").replace("#", "\\#")
    if text.isascii() or not any("\udc80" <= c <= "\udcff" for c in text):
        return text
    return "".join(f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else c for c in text)


def path_from_key(key: str) -> str:
    """The inverse; undecodable bytes as surrogates, ready for open(). The frame is left away.

    Raises ValueError for a text that `key_from_path` never makes.
    """
    raw, position = bytearray(), 0
    while position < len(key):
        stop = _next_special(key, position)
        raw += key[position:stop].encode("utf-8")
        if stop == len(key) or key[stop] == "#":
            break
        match = _ESCAPED.match(key, stop)
        if match is None:
            raise ValueError(f"not a key: {key!r} has a lone backslash at {stop}")
        raw += bytes.fromhex(match[1]) if match[1] else match[2].encode()
        position = match.end()
    return os.fsdecode(bytes(raw))


def _next_special(key: str, start: int) -> int:
    found = [at for at in (key.find("\\", start), key.find("#", start)) if at >= 0]
    return min(found, default=len(key))


def prefixed(key: str, prefix: str) -> str:
    """`prefix` as one more folder in front: "cam2" and "cam2/" are the same."""
    return f"{key_from_path(prefix.rstrip('/'))}/{key}" if prefix.strip("/") else key
