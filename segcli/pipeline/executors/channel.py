"""Messages between a coordinator and a worker: pickles over a pair of sockets."""

from __future__ import annotations

import os
import pickle
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator, Sequence

_LENGTH = struct.Struct("!Q")
_CHUNK = 1 << 18
_MOST_FDS = 8


class Channel:
    """The coordinator's end. It never blocks, because one worker may hang while others work."""

    def __init__(self, own: socket.socket) -> None:
        own.setblocking(False)
        self._socket = own
        self._out: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._in = bytearray()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def is_waiting(self) -> bool:
        """Whether something is still to be sent, by `flush`, when the socket takes it."""
        return bool(self._out)

    def send(self, message: object, fds: Sequence[int] = ()) -> None:
        """Send it now or, what does not fit, later; `fds` are duplicated in the worker.

        To a worker that has died nothing is sent; its end is noticed when it is read from.
        """
        body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._out.append((memoryview(_LENGTH.pack(len(body)) + body), fds))
        self.flush()

    def flush(self) -> None:
        try:
            while self._out:
                data, fds = self._out[0]
                sent = (
                    socket.send_fds(self._socket, [data], list(fds))
                    if fds
                    else self._socket.send(data)
                )
                if sent == len(data):
                    self._out.popleft()
                else:
                    self._out[0] = (data[sent:], ())
        except BlockingIOError:
            return
        except OSError:
            self._out.clear()

    def receive(self) -> Iterator[object]:
        """The received messages; raises EOFError after the last message of a dead worker."""
        ended = False
        while not ended:
            try:
                data = self._socket.recv(_CHUNK)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            ended = not data
            self._in += data
        yield from _taken(self._in)
        if ended:
            raise EOFError

    def close(self) -> None:
        self._socket.close()


class WorkerChannel:
    """The worker's end: reading blocks until a message arrives; any thread may send.

    `held` are the descriptors that came along: locks, which this process keeps until it dies.
    """

    def __init__(self, own: socket.socket) -> None:
        own.setblocking(True)
        self.held: list[int] = []
        self._socket = own
        self._sending = threading.Lock()

    def send(self, message: object) -> None:
        body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        with self._sending:
            self._socket.sendall(_LENGTH.pack(len(body)) + body)

    def messages(self) -> Iterator[object]:
        """Ends when the coordinator has gone."""
        received = bytearray()
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self._socket, _CHUNK, _MOST_FDS)
            except OSError:
                return
            if not data:
                return
            for fd in fds:
                os.set_inheritable(fd, False)
            self.held += fds
            received += data
            yield from _taken(received)


def _taken(received: bytearray) -> list[object]:
    """Remove and return the complete messages at the start of `received`."""
    found: list[object] = []
    start = 0
    while len(received) >= start + _LENGTH.size:
        (length,) = _LENGTH.unpack_from(received, start)
        end = start + _LENGTH.size + length
        if len(received) < end:
            break
        found.append(pickle.loads(received[start + _LENGTH.size : end]))
        start = end
    del received[:start]
    return found
