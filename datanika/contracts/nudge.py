"""How a submitted run wakes a worker on the same machine: an empty datagram on a Unix socket.

Only a hint. A worker elsewhere, or one that misses it, finds the run at its next poll.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path


def nudge_socket(home: Path, work_pool: str) -> Path:
    """The socket that a worker of ``work_pool`` binds in the data folder ``home``."""
    return home / "work" / f"{work_pool}.nudge"


def nudge(home: Path, work_pool: str) -> None:
    """Wake the worker, if one listens here; never waits and never fails."""
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        sender.setblocking(False)
        sender.sendto(b"", str(nudge_socket(home, work_pool)))
