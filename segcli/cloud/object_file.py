"""An object as a seekable file, whose blocks are fetched on demand and cached."""

from __future__ import annotations

import io
from collections import OrderedDict
from threading import Lock
from typing import Any

from segcli.cloud.errors import ObjectError, StoreError
from segcli.cloud.hugging_face import fetch_file_range, head_file
from segcli.cloud.objects import fetch_range, head
from segcli.cloud.urls import scheme_of

_BLOCK = 256 << 10
FEW, MANY = 16, 256  # blocks that are kept: 4 MB, 64 MB


class ObjectFile(io.RawIOBase):
    """Read-only; raises OSError as a file does, FileNotFoundError where there is no object.

    `kept`: how many blocks are; MANY where threads read at several places at once.

    Threads may share it if each of them seeks and reads under one lock, as zipfile does; `warm` is
    meant to be called outside of the lock.
    """

    def __init__(self, url: str, kept: int = FEW) -> None:
        self.name = url
        self._most = kept
        self._url = url
        self._is_hub = scheme_of(url) == "hf"
        try:
            self._size = head_file(url) if self._is_hub else head(url).size
        except StoreError as error:
            raise error.as_os_error() from None
        self._at = 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._keeping = Lock()

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("a negative position")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        size = max(0, min(len(buffer), self._size - self._at))
        if not size:
            return 0
        self.warm(self._at, size)
        end = self._at + size
        first, start = divmod(self._at, _BLOCK)
        data = b"".join(self._block(number) for number in range(first, -(-end // _BLOCK)))
        buffer[:size] = data[start : start + size]
        self._at = end
        return size

    def warm(self, start: int, size: int) -> None:
        """Fetch what is not there yet of a range, by one request."""
        end = min(start + size, self._size)
        wanted = range(start // _BLOCK, -(-end // _BLOCK))
        with self._keeping:
            missing = [number for number in wanted if number not in self._kept]
        if not missing:
            return
        data = self._fetch(missing[0], missing[-1] + 1)
        with self._keeping:
            for number in range(missing[0], missing[-1] + 1):
                offset = (number - missing[0]) * _BLOCK
                self._kept[number] = data[offset : offset + _BLOCK]
                self._kept.move_to_end(number)
            while len(self._kept) > max(self._most, len(missing)):
                self._kept.popitem(last=False)

    def _block(self, number: int) -> bytes:
        with self._keeping:
            found = self._kept.get(number)
        return self._fetch(number, number + 1) if found is None else found

    def _fetch(self, first: int, after: int) -> bytes:
        start, end = first * _BLOCK, min(after * _BLOCK, self._size)
        try:
            fetched = fetch_file_range if self._is_hub else fetch_range
            data = fetched(self._url, start, end)
        except StoreError as error:
            raise error.as_os_error() from None
        if len(data) != end - start:
            raise ObjectError("the object has changed since it was opened")
        return data
