"""Names that only this process' resolver knows. libpq's own does not, and must not be asked."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.support.canary import FakeDns


def use_dns(dns: FakeDns, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``socket.getaddrinfo`` answer from ``dns`` for the names it has."""
    real = socket.getaddrinfo

    def lookup(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in dns.answers:
            return real(host, port, *args, **kwargs)
        return [entry for text in dns(name, port) for entry in real(text, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
