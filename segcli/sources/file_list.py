"""A text file with one path or URL per line, in UTF-8 or the bytes of the names.

Every line is a path or a URL, even if it begins with `#`. Empty lines are skipped; a byte order
mark and CRLF are removed. A relative path is resolved from the folder of the list, then from the
current folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from segcli.errors import UsageError
from segcli.sources.named import sample_named
from segcli.sources.remote import url_sample
from segcli.types import Sample

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def list_lines(listing: str, key_prefix: str = "") -> Iterator[Sample]:
    """The samples of a list, in its order; the key is the path as written.

    A path that does not exist is a sample that cannot be read. Raises UsageError.
    """
    folder = os.path.dirname(os.path.abspath(listing))
    try:
        with open(listing, "rb") as lines:
            for number, line in enumerate(lines):
                if number == 0:
                    _refuse_utf16(line, listing)
                    line = line.removeprefix(_BOM)
                written = line.rstrip(b"\r\n")
                if not written:
                    continue
                if (sample := url_sample(os.fsdecode(written), key_prefix)) is None:
                    sample = sample_named(os.fsdecode(written), folder, key_prefix)
                yield sample
    except OSError as error:
        raise UsageError(f"cannot read the list {listing!r}: {error.strerror}") from None


def _refuse_utf16(line: bytes, listing: str) -> None:
    if line.startswith(_UTF16):
        raise UsageError(
            f"the list {listing!r} is UTF-16 text; expected UTF-8, one path per line: save it again"
        )
    if b"\x00" in line:
        raise UsageError(
            f"{listing!r} is a binary file; expected a text file with one image path per line"
        )
