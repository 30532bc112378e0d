"""Changes of a step on their way: read once from the slot, kept in one file a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import Struct
from typing import IO

from datanika.engines.dlt_engine.cdc.pgoutput import relation_oid, truncated

_SIZE = Struct(">I")
_OF_A_TABLE = frozenset(b"RIUD")
_BUFFER = 256 * 1024


class Spool:
    """``oids``: the tables that are wanted. Close it before it is read."""

    def __init__(self, folder: Path, oids: Iterable[int]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = {oid: folder / f"{oid}.changes" for oid in oids}
        self._files: dict[int, IO[bytes]] = {}
        self._begin = b""
        self._begun: set[int] = set()
        self.bytes = 0

    def add(self, message: bytes) -> None:
        """One message of pgoutput, in the slot's order."""
        kind = message[0]
        if kind == 66:  # B
            self._begin = message
            self._begun.clear()
        elif kind in _OF_A_TABLE:
            self._write(relation_oid(message), message)
        elif kind == 84:  # T
            for oid in truncated(message):
                self._write(oid, message)

    def _write(self, oid: int, message: bytes) -> None:
        file = self._files.get(oid)
        if file is None:
            path = self._paths.get(oid)
            if path is None:
                return
            file = self._files[oid] = path.open("wb", buffering=_BUFFER)
        if oid not in self._begun:
            self._begun.add(oid)
            file.write(_SIZE.pack(len(self._begin)))
            file.write(self._begin)
        file.write(_SIZE.pack(len(message)))
        file.write(message)
        self.bytes += len(message)

    def close(self) -> None:
        """Everything is on the disk."""
        for file in self._files.values():
            file.close()

    def messages(self, oid: int) -> Iterator[bytes]:
        """Those of one table, each transaction's after its ``B``."""
        if oid not in self._files:
            return
        with self._paths[oid].open("rb", buffering=_BUFFER) as file:
            while head := file.read(4):
                yield file.read(_SIZE.unpack(head)[0])
