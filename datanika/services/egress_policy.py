"""The egress policy of this installation, from its settings and where its own services are."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from sqlalchemy import make_url

from datanika.config import Settings, settings
from datanika.contracts.egress import EgressPolicy, EgressRule, Networks, OwnService
from datanika.errors import ConfigError

FRESH_SECONDS = 30.0
"""How long the addresses of the platform's own services are believed."""
MAINTENANCE_DATABASES = ("postgres", "template0", "template1", "prefect")
"""Databases beside the control plane's on its server that are never a tenant's."""
_PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}
_POSTGRES_PORT = 5432
_ANYWHERE = ("0.0.0.0", "::")

_known: dict[EgressPolicy, tuple[float, EgressPolicy]] = {}


async def current_policy() -> EgressPolicy:
    """The policy for a connection that is resolved now. Looks names up, at most once in a while.

    Raises :class:`ConfigError` ``setting_invalid`` for a rule that is none.
    """
    written = written_policy(settings)
    found = _known.get(written)
    if found is None or found[0] < time.monotonic():
        _known.clear()
        found = _known[written] = (time.monotonic() + FRESH_SECONDS, await _resolved(written))
    return found[1]


def written_policy(given: Settings) -> EgressPolicy:
    """The policy as the settings have it, without looking any name up."""
    default = Networks.PRIVATE if given.env == "production" else Networks.LOCAL
    return EgressPolicy(
        networks=Networks(given.egress_networks or default),
        allow=_rules(given.egress_allow, "DATANIKA_EGRESS_ALLOW"),
        deny=_rules(given.egress_deny, "DATANIKA_EGRESS_DENY"),
        own=tuple(own_services(given)),
        privileged_roles=given.egress_privileged_roles,
    )


def own_services(given: Settings) -> Iterator[OwnService]:
    """What the settings know of the platform itself. Hosts and ports, never credentials."""
    databases: list[str] = []
    servers: dict[tuple[str, int], None] = {}
    for url in (given.database_url, given.database_admin_url):
        if url is not None:
            places, database = _postgres(url.get_secret_value())
            servers |= dict.fromkeys(places)
            databases.append(database)
    for rule in _rules(given.egress_own, "DATANIKA_EGRESS_OWN"):
        if rule.port is None:
            raise _invalid("DATANIKA_EGRESS_OWN", f"{rule.host!r} needs a port")
        network = rule.network
        host = rule.host if network is None else str(network.network_address)
        servers[(host, rule.port)] = None
    never = tuple(dict.fromkeys([*databases, *MAINTENANCE_DATABASES]))
    for host, port in servers:
        yield OwnService(host=host, port=port, databases=never)
    redis = None if given.redis_url is None else given.redis_url.get_secret_value()
    for address in (redis, given.prefect_api_url, given.prefect_ui_url, given.internal_url):
        if address:
            yield OwnService(**_place(address))
    yield OwnService(host=_reached(given.host), port=given.port)
    yield OwnService(**_place(given.public_url), fronted=True)


def _postgres(url: str) -> tuple[list[tuple[str, int]], str]:
    """Every (host, port) of a PostgreSQL URL, and its database; read as SQLAlchemy reads it."""
    parts = make_url(url)
    hosts = parts.query.get("host", ()) if parts.host is None else parts.host
    texts = [
        text for item in ([hosts] if isinstance(hosts, str) else hosts) for text in _list(item)
    ]
    places = []
    for text in texts or [""]:
        # A socket's folder: the same server listens on this machine's loopback, if anywhere.
        place = urlsplit(f"//{'localhost' if not text or text.startswith('/') else text}")
        port = place.port or parts.port or _POSTGRES_PORT
        places.append((_reached(place.hostname or "localhost"), port))
    return places, parts.database or ""


def _list(text: str) -> list[str]:
    # An IPv6 address comes without the brackets that a port would need.
    bare = (item.count(":") > 1 and "[" not in item for item in text.split(","))
    return [f"[{item}]" if one else item for one, item in zip(bare, text.split(","), strict=True)]


def _place(url: str) -> dict[str, str | int]:
    parts = urlsplit(url)
    host = _reached(parts.hostname or "localhost")
    return {"host": host, "port": parts.port or _PORTS.get(parts.scheme, 80)}


def _reached(host: str) -> str:
    """Where a service is reached that listens on ``host``."""
    return "127.0.0.1" if host in _ANYWHERE else host.lower().rstrip(".")


def _rules(text: str, variable: str) -> tuple[EgressRule, ...]:
    try:
        return tuple(EgressRule.parse(item) for item in text.split(",") if item.strip())
    except ValueError as error:
        raise _invalid(variable, str(error)) from None


def _invalid(variable: str, reason: str) -> ConfigError:
    return ConfigError(
        f"{variable}: {reason}.",
        code="setting_invalid",
        hint="Write it like 10.1.0.0/16,db.example.com:5432,10.2.0.5:5432/warehouse.",
    )


async def _resolved(policy: EgressPolicy) -> EgressPolicy:
    """``policy`` with the present addresses of the own services, and of this machine."""
    found = await asyncio.gather(*(_addresses(one.host, one.port) for one in policy.own))
    own = tuple(
        service.model_copy(update={"addresses": addresses})
        for service, addresses in zip(policy.own, found, strict=True)
    )
    return policy.model_copy(update={"own": own, "machine": machine_addresses()})


async def _addresses(host: str, port: int) -> tuple[str, ...]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        # Its name stays refused; whoever can look it up refuses its addresses too.
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def machine_addresses() -> tuple[str, ...]:
    """Every address of this machine but the loopback's own."""
    import psutil

    families = (socket.AF_INET, socket.AF_INET6)
    texts = (
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in families
    )
    return tuple(sorted({text for text in texts if not ipaddress.ip_address(text).is_loopback}))
