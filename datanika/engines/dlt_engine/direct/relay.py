"""Bytes of a file, or of a producer's thread, into COPY FROM STDIN: reading and writing overlap.

A kernel pipe lies between a producer and the session, so that memory stays bounded, and both ends
work in C: of the ways that were measured (ADR 0013) this one costs this process the least.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from datanika.engines.dlt_engine.direct.session import Session

_CHUNK = 256 * 1024
_PIPE = 1024 * 1024
_SET_PIPE_SIZE = 1031
"""F_SETPIPE_SZ; Linux only."""

Producer = Callable[[IO[bytes]], None]
"""Writes everything into the file that it is given."""


class _Counted:
    """Raw bytes of a pipe, and how many they were."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.bytes = 0

    def read(self, size: int) -> bytes:
        data = os.read(self._descriptor, size)
        self.bytes += len(data)
        return data


def relay(produce: Producer, into: Session, copy: str) -> tuple[int, int]:
    """Run ``copy`` (a COPY … FROM STDIN) with what ``produce`` writes; (rows, bytes).

    Raises what the producer raises, else what the server says.
    """
    reader, writer = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(writer, _SET_PIPE_SIZE, _PIPE)
    failed: list[BaseException] = []
    broken = threading.Event()

    def note(error: BaseException) -> None:
        if not broken.is_set():
            failed.append(error)

    def work() -> None:
        try:
            with os.fdopen(writer, "wb", buffering=_CHUNK) as file:
                try:
                    produce(file)
                except BaseException as error:
                    # Before the other side sees the end, and complains about it.
                    note(error)
        except OSError as error:
            note(error)

    thread = threading.Thread(target=work, name="extract", daemon=True)
    thread.start()
    source = _Counted(reader)
    try:
        with into.connection.cursor() as cursor:
            try:
                cursor.copy_expert(copy, source, size=_CHUNK)
            except BaseException:
                broken.set()
                raise
            rows = int(cursor.rowcount)
    finally:
        # The producer's next write fails, whatever it waits for.
        os.close(reader)
        thread.join()
        if failed:
            raise failed[0]
    return rows, source.bytes


class _File:
    """A file's bytes, how many they were, and why there are no more."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.bytes = 0
        self.failed: OSError | None = None

    def read(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            # The server would be told of it, and say it as its own.
            self.failed = error
            raise
        self.bytes += len(data)
        return data


def copy_file(path: Path, into: Session, copy: str) -> tuple[int, int]:
    """Run ``copy`` (a COPY … FROM STDIN) with the bytes of a file; (rows, bytes).

    The kernel reads ahead by itself: a thread and a pipe would cost a copy of every byte.
    """
    with path.open("rb", buffering=0) as file, into.connection.cursor() as cursor:
        with contextlib.suppress(AttributeError, OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        source = _File(file)
        try:
            cursor.copy_expert(copy, source, size=_CHUNK)
        except BaseException as error:
            if source.failed is not None:
                raise source.failed from error
            raise
        return int(cursor.rowcount), source.bytes


class CopyOut:
    """The producer that runs ``sql`` (a COPY … TO STDOUT); ``rows`` is what its server counted."""

    def __init__(self, session: Session, sql: str) -> None:
        self.rows = 0
        self._session, self._sql = session, sql

    def __call__(self, file: IO[bytes]) -> None:
        with self._session.connection.cursor() as cursor:
            cursor.copy_expert(self._sql, file)
            self.rows = int(cursor.rowcount)
