import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from segcli.errors import Locked, OutputError, UsageError
from segcli.store import lock as lock_module
from segcli.store.lock import acquire

HOLD = """
import sys, time, subprocess
from pathlib import Path
from segcli.store.lock import acquire
lock = acquire(Path(sys.argv[1]), output=Path("masks.parquet"), wait=False)
child = None
if sys.argv[2] == "worker":
    child = subprocess.Popen(["sleep", "600"], pass_fds=[lock.fd], stdout=subprocess.DEVNULL)
print(child.pid if child else 0, flush=True)
time.sleep(600)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".masks.parquet.lock"


def held_elsewhere(path, kind):
    """A process that holds the lock, and its worker's number (0: none)."""
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), kind], stdout=subprocess.PIPE, text=True
    )
    with held.stdout as told:
        return held, int(told.readline())


def test_a_second_taker_is_told_at_once_who_holds_it(path, tmp_path):
    lock = acquire(path, output=tmp_path, wait=False)
    with pytest.raises(Locked, match=rf"process {os.getpid()} on .*`wait=True`") as caught:
        acquire(path, output=tmp_path, wait=False)
    assert caught.value.exit_code == 4
    lock.close()
    acquire(path, output=tmp_path, wait=False).close()


def test_waiting_ends_when_the_holder_ends(path, tmp_path):
    lock = acquire(path, output=tmp_path, wait=False)
    ended = []

    def end():
        ended.append(True)
        lock.close()

    timer = threading.Timer(0.3, end)
    timer.start()
    acquire(path, output=tmp_path, wait=True).close()
    assert ended
    timer.join()


def test_the_lock_file_stays(path, tmp_path):
    acquire(path, output=tmp_path, wait=False).close()
    assert path.exists()


def test_a_killed_holder_lets_go(path, tmp_path):
    held, _ = held_elsewhere(path, "alone")
    with pytest.raises(Locked):
        acquire(path, output=tmp_path, wait=False)
    held.kill()
    held.wait()
    acquire(path, output=tmp_path, wait=False).close()


def test_dying_workers_of_a_killed_holder_are_waited_for(path, tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module, "_DYING_S", 300.0)
    held, worker = held_elsewhere(path, "worker")
    held.kill()
    while Path(f"/proc/{held.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)  # dead, and not reaped yet
    timer = threading.Timer(0.3, os.kill, (worker, 9))
    timer.start()
    acquire(path, output=tmp_path, wait=False).close()
    timer.join()
    held.wait()


def test_an_orphaned_worker_keeps_the_lock_until_it_dies(path, tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module, "_DYING_S", 0.2)
    held, worker = held_elsewhere(path, "worker")
    held.kill()
    held.wait()
    with pytest.raises(Locked, match="a worker it left behind"):
        acquire(path, output=tmp_path, wait=False)
    os.kill(worker, 9)
    acquire(path, output=tmp_path, wait=True).close()


def test_a_lock_file_that_was_deleted_while_waiting_guards_nothing(path, tmp_path, monkeypatch):
    taken = []
    flock = fcntl.flock

    def deleted_meanwhile(fd, how):
        flock(fd, how)
        taken.append(os.fstat(fd).st_ino)
        if len(taken) == 1:
            path.rename(tmp_path / "elsewhere")

    monkeypatch.setattr(fcntl, "flock", deleted_meanwhile)
    lock = acquire(path, output=tmp_path, wait=False)
    assert os.fstat(lock.fd).st_ino == path.stat().st_ino == taken[1] != taken[0]
    lock.close()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_refused(path, tmp_path, monkeypatch, number):
    def unsupported(fd, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(UsageError, match="no file locks"):
        acquire(path, output=tmp_path, wait=False)


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="cannot create the lock"):
        acquire(tmp_path / "missing" / ".lock", output=tmp_path, wait=False)
