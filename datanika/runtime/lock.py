"""One ``datanika up`` per data folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from datanika.errors import Conflict

FILE = "runtime.lock"


class HomeLock:
    """The lock that the running platform holds; the kernel frees it when its process ends."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)

    def acquire(self) -> None:
        """Raises :class:`Conflict` (``already_running``), naming where the other one is."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = self._read()
            self.release()
            where = found.get("web_url", "it is starting")
            raise Conflict(
                f"Datanika already runs on {self._path.parent}: {where} "
                f"(process {found.get('pid', 'unknown')}).",
                code="already_running",
                hint="Use it, stop it with Ctrl-C, or start with another DATANIKA_HOME.",
                web_url=found.get("web_url"),
            ) from None
        self.publish({"pid": os.getpid()})

    def publish(self, facts: dict[str, object]) -> None:
        """Say who holds the lock; whoever is refused reads it."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(facts).encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)

    def _read(self) -> dict[str, object]:
        with contextlib.suppress(ValueError):
            found = json.loads(os.pread(self._descriptor, 4096, 0))
            return found if isinstance(found, dict) else {}
        return {}


@contextlib.contextmanager
def holding(home: Path) -> Iterator[HomeLock]:
    """Hold the lock of ``home``."""
    lock = HomeLock(home)
    lock.acquire()
    try:
        yield lock
    finally:
        lock.publish({})
        lock.release()
