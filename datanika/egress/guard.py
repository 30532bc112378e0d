"""Resolves a destination and decides whether a tenant may connect there."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Sequence

from datanika.contracts.egress import EgressPolicy, EgressRule, Networks, OwnService
from datanika.egress.addresses import NEVER, AddressKind, IPAddress, kind_of, wrapped_in
from datanika.egress.hosts import canonical_host, literal
from datanika.errors import EgressRefused

Resolve = Callable[[str, int], Sequence[str]]
"""(canonical host, port) -> its addresses; raises OSError when there are none."""

_OPEN = {
    Networks.PUBLIC: {AddressKind.PUBLIC},
    Networks.PRIVATE: {AddressKind.PUBLIC, AddressKind.PRIVATE},
    Networks.LOCAL: {AddressKind.PUBLIC, AddressKind.PRIVATE, AddressKind.LOOPBACK},
}


def system_resolve(host: str, port: int) -> Sequence[str]:
    """Every address of ``host``, in the order to try them. Blocking."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class EgressGuard:
    """One policy, ready to be asked. Connect only to the addresses that it answers."""

    def __init__(self, policy: EgressPolicy, resolve: Resolve = system_resolve) -> None:
        self.policy = policy
        self._resolve = resolve
        self._seen: dict[tuple[str, int], frozenset[IPAddress]] = {}

    def check(self, host: str, port: int, database: str | None = None) -> tuple[str, ...]:
        """The addresses of ``host``, all of which may be connected to. Blocking.

        ``database`` is the PostgreSQL database, None for other protocols. Raises
        :class:`EgressRefused`, and OSError when the name has no address.
        """
        name = canonical_host(host)
        fixed = literal(name)
        texts = [name] if fixed is not None else self._resolve(name, port)
        if not texts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = [ipaddress.ip_address(text) for text in texts]
        for address in addresses:
            # One forbidden answer among good ones is how a name tries its luck.
            if (reason := self._refusal(name, address, port, database)) is not None:
                raise _refused(host, port, reason)
        return tuple(str(address) for address in addresses)

    async def check_async(
        self, host: str, port: int, database: str | None = None
    ) -> tuple[str, ...]:
        """:meth:`check` for an event loop: the look-up runs in a thread."""
        return await asyncio.to_thread(self.check, host, port, database)

    def _refusal(
        self, name: str, address: IPAddress, port: int, database: str | None
    ) -> str | None:
        """Why not, as what the host "is"; None when it may."""
        views = (address, *wrapped_in(address))
        kinds = [kind_of(view) for view in views]
        if never := next((kind for kind in kinds if kind in NEVER), None):
            return never
        if _covers(self.policy.deny, name, views, port, database):
            return "on the operator's list of refused destinations"
        for service in self.policy.own:
            if service.port == port and self._leads_to(service, name, views):
                opened = self._opens(service, name, address, database)
                return None if opened else "a service of the platform itself"
        if _covers(self.policy.allow, name, [address], port, database):
            return None
        return None if kinds[0] in _OPEN[self.policy.networks] else kinds[0]

    def _opens(
        self, service: OwnService, name: str, address: IPAddress, database: str | None
    ) -> bool:
        """Whether a rule opens what shares an address and a port with the platform's service."""
        rules = self.policy.allow
        if service.fronted and name != service.host:
            return any((rule.host, rule.port) == (name, service.port) for rule in rules)
        if database is None or database in service.databases:
            return False
        exact = [rule for rule in rules if rule.database is not None]
        return _covers(exact, name, [address], service.port, database)

    def _leads_to(self, service: OwnService, name: str, views: Sequence[IPAddress]) -> bool:
        if service.host == name:
            return True
        addresses = self._addresses_of(service)
        if any(view in addresses for view in views):
            return True
        # Whoever listens on this machine may listen on all of its addresses.
        local = any(address.is_loopback for address in addresses)
        machine = {ipaddress.ip_address(text) for text in self.policy.machine}
        return local and any(view.is_loopback or view in machine for view in views)

    def _addresses_of(self, service: OwnService) -> frozenset[IPAddress]:
        """As the control plane sees the service, and as this process does."""
        key = (service.host, service.port)
        if key not in self._seen:
            texts = list(service.addresses)
            if literal(service.host) is not None:
                texts.append(service.host)
            else:
                # A name that means nothing here leads nowhere from here.
                with contextlib.suppress(OSError):
                    texts += self._resolve(service.host, service.port)
            self._seen[key] = frozenset(ipaddress.ip_address(text) for text in texts)
        return self._seen[key]


def _covers(
    rules: Sequence[EgressRule],
    name: str,
    views: Sequence[IPAddress],
    port: int,
    database: str | None,
) -> bool:
    return any(
        (rule.port is None or rule.port == port)
        and rule.covers_database(database)
        and _is_meant(rule, name, views)
        for rule in rules
    )


def _is_meant(rule: EgressRule, name: str, views: Sequence[IPAddress]) -> bool:
    network = rule.network
    if network is not None:
        return any(view in network for view in views)
    if rule.host.startswith("*."):
        return name.endswith(rule.host[1:])
    return name == rule.host


def _refused(host: str, port: int, reason: str) -> EgressRefused:
    return EgressRefused(
        f"The platform does not connect to {host}:{port} for you: it is {reason}.",
        hint="Use an address that is open to the platform, or ask its operator to allow this one "
        "(DATANIKA_EGRESS_ALLOW).",
    )
