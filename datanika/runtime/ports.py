"""Ports on the loopback interface: the usual one, else a free one, the same at every start."""

from __future__ import annotations

import json
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from datanika.errors import ConfigError

FILE = "ports.json"


class Claims:
    """The ports that this process has chosen, until it ends or :meth:`release`.

    A part listens only seconds after its port was chosen. Until then this keeps other platforms on
    the machine from choosing it: a name in Linux' abstract socket namespace, which needs no file.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def take(self, port: int) -> bool:
        """Whether nobody else has chosen ``port``; nobody else will from now on."""
        if sys.platform != "linux":
            return True
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0datanika-port-{port}")
        except OSError:
            claim.close()
            return False
        self._held.append(claim)
        return True

    def release(self) -> None:
        while self._held:
            self._held.pop().close()


@dataclass(frozen=True)
class Ports:
    """Where the parts listen."""

    web: int = 8000
    prefect: int = 4200
    postgres: int = 5433
    redis: int = 6380


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def choose_ports(
    home: Path, claims: Claims, web: int | None = None, host: str = "127.0.0.1"
) -> Ports:
    """Ports for this start, remembered in ``home`` for the next, and claimed.

    ``web``: the port somebody asked for; :class:`ConfigError` when it is taken.
    """
    wanted = asdict(Ports()) | remembered(home)
    if web is not None and not (is_free(web, host) and claims.take(web)):
        raise ConfigError(
            f"Port {web} is taken.",
            code="port_taken",
            hint="Stop what listens there, or leave the port out to get a free one.",
        )
    chosen: dict[str, int] = {}
    for name, port in wanted.items():
        where = host if name == "web" else "127.0.0.1"
        if name == "web" and web is not None:
            port = web
        else:
            while not (is_free(port, where) and claims.take(port)):
                port = free_port(where)
        chosen[name] = port
    (home / FILE).write_text(json.dumps(chosen) + "\n", "utf-8")
    return Ports(**chosen)


def remembered(home: Path) -> dict[str, int]:
    try:
        found = json.loads((home / FILE).read_text("utf-8"))
        return {name: int(found[name]) for name in asdict(Ports()) if name in found}
    except (OSError, ValueError, TypeError, AttributeError):
        # Only a preference: the next start writes it anew.
        return {}
