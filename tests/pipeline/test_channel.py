"""Messages arrive whole and in order, however the bytes come, and no slow worker holds us up."""

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from segcli.pipeline.executors.channel import Channel, WorkerChannel


@pytest.fixture
def ends() -> Iterator[tuple[Channel, WorkerChannel]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), WorkerChannel(theirs)


def test_a_large_message_never_blocks_the_coordinator(ends: tuple[Channel, WorkerChannel]) -> None:
    link, post = ends
    large = os.urandom(3_000_000)
    link.send(large)
    link.send("after")
    assert link.is_waiting
    found: list[object] = []

    def read() -> None:
        for message in post.messages():
            found.append(message)

    reader = threading.Thread(target=read)
    reader.start()
    while link.is_waiting:
        link.flush()
    link.close()
    reader.join()
    assert found == [large, "after"]


def test_messages_of_a_dead_worker_are_heard_to_the_last_whole_one(
    ends: tuple[Channel, WorkerChannel],
) -> None:
    link, post = ends
    assert list(link.receive()) == []
    post.send(("first", 1))
    post.send("second")
    post._socket.sendall(b"\0\0\0\0\0\0\1\0half")
    post._socket.close()
    messages = link.receive()
    assert [next(messages), next(messages)] == [("first", 1), "second"]
    with pytest.raises(EOFError):
        next(messages)
    link.send("to nobody")  # is no error: the end is noticed when it is read
    assert not link.is_waiting
    link.close()


def test_descriptors_come_along_and_stay_ours_alone(ends: tuple[Channel, WorkerChannel]) -> None:
    link, post = ends
    inside, outside = os.pipe()
    link.send("before")
    link.send("with it", fds=[outside])
    os.close(outside)
    link.close()
    assert list(post.messages()) == ["before", "with it"]
    (held,) = post.held
    assert not os.get_inheritable(held)
    os.write(held, b"x")
    assert os.read(inside, 1) == b"x"
    os.close(held)
    os.close(inside)
