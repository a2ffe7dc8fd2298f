"""The files in which the processes of one service keep their metrics, so that each of them can answer for all.

A process takes a slot, a number whose lock it holds for as long as it lives: the kernel frees it, also after `kill -9`.
The next process takes over the slot of a dead one and goes on counting in its files. So counters never fall while a
process is alive, and there are never more files than there were processes at once. When nobody is alive, the first
process to come begins anew.
"""

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Slot:
    """The slot of this process.

    `check_port` is called where no other process has a slot, and raises an `OSError` where somebody has the port all
    the same: that one keeps its files elsewhere. No process takes a slot meanwhile.
    """

    def __init__(self, port: int, check_port: Callable[[], None]) -> None:
        self.folder = _folder_of(port)
        with self._entrance():
            self.forget_dead()
            if not any(map(_is_held, self._locks())):
                check_port()
                for file in self.folder.glob("*.db"):
                    file.unlink()
            self.number, self._lock = self._take()

    def _take(self) -> tuple[int, int]:
        for number in range(10_000):
            lock = os.open(self.folder / f"{number}.lock", FLAGS, 0o600)
            if _try_lock(lock):
                return number, lock
            os.close(lock)
        raise OSError(f"{self.folder} has no slot left")

    def forget_dead(self) -> None:
        """Delete what dead processes said of their present; what they counted stays."""
        for lock in self._locks():
            if not _is_held(lock):
                mark_process_dead(int(lock.stem), str(self.folder))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else takes a slot or deletes files; a scrape then sees all of a file or nothing."""
        with self._entrance():
            yield

    def _locks(self) -> list[Path]:
        return [each for each in self.folder.glob("*.lock") if each.stem.isdecimal()]

    @contextmanager
    def _entrance(self) -> Iterator[None]:
        entrance = os.open(self.folder / "entrance.lock", FLAGS, 0o600)
        try:
            fcntl.flock(entrance, fcntl.LOCK_EX)
            yield
        finally:
            os.close(entrance)


def _folder_of(port: int) -> Path:
    """A folder of this user's own: another user may have made one of that name, to read along."""
    folder = Path(tempfile.gettempdir()) / f"shop-metrics-{os.getuid()}-{port}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise OSError(f"{folder} is not this user's own folder: delete it")
    return folder


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_held(file: Path) -> bool:
    """Whether a process that is alive has the slot; this one asks by another opening of the file, which counts too."""
    lock = os.open(file, FLAGS, 0o600)
    try:
        return not _try_lock(lock)
    finally:
        os.close(lock)
