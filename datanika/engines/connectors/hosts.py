"""Hosts and names in configurations, and a socket to a host that egress allows."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from datanika.contracts.egress import EgressPolicy
from datanika.egress.guard import EgressGuard
from datanika.errors import TerminalStepError

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


@contextmanager
def judged_names(policy: EgressPolicy) -> Iterator[None]:
    """Every name that this process looks up meanwhile is judged, whoever asks.

    For drivers in Python that open their sockets themselves, and to whatever hosts their server
    tells them. An engine works for one step of one tenant, so nobody else is in the process.
    """
    real = socket.getaddrinfo

    def resolve(host: str, port: int) -> list[str]:
        found = real(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    guard = EgressGuard(policy, resolve)

    def judged(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is None:
            return real(host, port, *args, **kwargs)
        addresses = guard.check(str(name), int(port or 0))
        return [entry for one in addresses for entry in _entries(real, one, port, args, kwargs)]

    socket.getaddrinfo = judged
    try:
        yield
    finally:
        socket.getaddrinfo = real


def _entries(real: Any, address: str, port: Any, args: Any, kwargs: Any) -> list[Any]:
    try:
        return list(real(address, port, *args, **kwargs))
    except socket.gaierror:
        # Of another family than was asked for.
        return []


def driver(module: str, extra: str) -> Any:
    """An optional driver; raises :class:`TerminalStepError` ``connector_extra_missing``."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise TerminalStepError(
            f"This worker has no driver for this kind of connection ({module}).",
            code="connector_extra_missing",
            hint=f"Ask the operator to install the extra: pip install 'datanika[{extra}]'.",
        ) from None
