"""Hosts and names in configurations, and a socket to a host that egress allows."""

from __future__ import annotations

import socket

from datanika.egress.guard import EgressGuard

HOST = (
    r"^([A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?"
    r"|[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f.]{0,15}){2,8})$"
)
NAME = r"^[^\x00-\x1f\x7f=/?#&%:@'\"\\{};]{1,128}$"


def dial(guard: EgressGuard, host: str, port: int, seconds: float) -> socket.socket:
    """A connected socket to an address of ``host`` that was judged.

    For drivers that take one: whatever they would resolve themselves is not asked. Raises
    :class:`EgressRefused` and OSError.
    """
    failure: OSError | None = None
    for address in guard.check(host, port):
        try:
            sock = socket.create_connection((address, port), timeout=seconds)
            sock.settimeout(None)
            return sock
        except OSError as error:
            failure = error
    raise failure or OSError(f"{host} has no address")
