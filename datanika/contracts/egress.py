"""Where the platform may connect to on behalf of a tenant: plain data, no look-ups.

The control plane makes the policy from its settings. It travels with every resolved connection,
because an engine child has neither settings nor an environment. ``datanika.egress`` applies it.
"""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import Self

from pydantic import Field

from datanika.contracts.base import Contract

_RULE = re.compile(
    r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<name>[^\s:/\[\]@,]+(?:/\d{1,3})?))"
    r"(?::(?P<port>\d{1,5})(?:/(?P<database>[^\s/,]+))?)?"
)
_NAME = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?")


class Networks(StrEnum):
    """How near to itself a platform lets tenants connect; each one includes those before it."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOCAL = "local"


class EgressRule(Contract):
    """Some destinations: a network, an address, a name, or ``*.`` and what names end with.

    ``database`` narrows it to PostgreSQL connections to that database; a ``*`` at its end stands
    for any ending.
    """

    host: str
    port: int | None = None
    database: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """``host[:port[/database]]``; an IPv6 address with a port is in brackets.

        Raises ValueError.
        """
        found = _RULE.fullmatch(text.strip())
        try:
            return cls(host=_network(text.strip()))
        except ValueError:
            if found is None:
                raise ValueError(f"{text!r} is not host[:port[/database]]") from None
        host = (found["v6"] or found["name"]).lower().rstrip(".")
        try:
            host = _network(host)
        except ValueError:
            if found["v6"] or not _NAME.fullmatch(host) or host.replace(".", "").isdigit():
                raise ValueError(f"{text!r} names neither a host nor a network") from None
        port = int(found["port"]) if found["port"] else None
        if port is not None and not 1 <= port <= 65535:
            raise ValueError(f"{text!r}: a port is between 1 and 65535")
        database = found["database"]
        if database is not None and database.rstrip("*") == "":
            raise ValueError(f"{text!r} would be every database; name it")
        return cls(host=host, port=port, database=database)

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
        """The addresses meant; None for a rule about names."""
        try:
            return ipaddress.ip_network(self.host, strict=False)
        except ValueError:
            return None

    def covers_database(self, database: str | None) -> bool:
        """Whether a connection to ``database`` (None: not a database at all) is meant."""
        if self.database is None:
            return True
        if database is None:
            return False
        if self.database.endswith("*"):
            return database.startswith(self.database[:-1])
        return database == self.database


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


class OwnService(Contract):
    """A service of the platform itself.

    ``addresses`` are what the control plane resolved ``host`` to; a worker may see others.
    ``databases`` are the platform's: no rule opens them. ``fronted``: a proxy may answer for others
    at the same address, so a rule with another name and this port opens that name.
    """

    host: str
    port: int
    addresses: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    fronted: bool = False


class EgressPolicy(Contract):
    """What tenants' connections may reach. The default is the strictest."""

    networks: Networks = Networks.PUBLIC
    allow: tuple[EgressRule, ...] = ()
    deny: tuple[EgressRule, ...] = Field(default=(), description="Wins over allow.")
    own: tuple[OwnService, ...] = ()
    machine: tuple[str, ...] = Field(
        default=(), description="Other addresses of the machine whose loopback own services use."
    )
    privileged_roles: bool = Field(
        default=False, description="Whether a PostgreSQL role may be able to run programs."
    )
