"""What an IP address is, as far as a server that connects for strangers must care.

Sources: the IANA special-purpose address registries (RFC 6890, 8190) and the metadata addresses
that the clouds document. Python's ``is_global`` changed between patch releases, so what matters is
listed here and ``is_global`` has only the last word.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from enum import StrEnum

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AddressKind(StrEnum):
    """The words that a refusal uses."""

    PUBLIC = "a public address"
    PRIVATE = "an address of a private network"
    LOOPBACK = "a loopback address"
    SHARED = "a carrier-grade NAT address"
    LINK_LOCAL = "a link-local address"
    METADATA = "a cloud's metadata address"
    MULTICAST = "a multicast address"
    UNSPECIFIED = "an unspecified address"
    EMBEDDED = "an IPv6 address that wraps an IPv4 address"
    RESERVED = "a reserved address"


NEVER = frozenset(
    {
        AddressKind.LINK_LOCAL,
        AddressKind.METADATA,
        AddressKind.MULTICAST,
        AddressKind.UNSPECIFIED,
    }
)
"""No rule opens these: they are the machine's or the cloud's own, or no place at all."""


def _networks(*texts: str) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


_KINDS: tuple[tuple[AddressKind, tuple[_Network, ...]], ...] = (
    # The first that fits: metadata addresses lie inside of other ranges.
    (
        AddressKind.METADATA,
        _networks(
            "169.254.169.254/32",  # AWS, GCP, Azure, OpenStack and most others
            "169.254.170.2/32",  # credentials of AWS ECS tasks
            "100.100.100.200/32",  # Alibaba
            "168.63.129.16/32",  # Azure's wire server, which is in public address space
            "192.0.0.192/32",  # Oracle
            "fd00:ec2::/32",  # AWS
            "fd20:ce::/32",  # GCP
            "fd00:42::42/128",  # Scaleway
        ),
    ),
    (AddressKind.UNSPECIFIED, _networks("0.0.0.0/8", "::/128")),
    (AddressKind.LOOPBACK, _networks("127.0.0.0/8", "::1/128")),
    (AddressKind.LINK_LOCAL, _networks("169.254.0.0/16", "fe80::/10")),
    (AddressKind.MULTICAST, _networks("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")),
    (AddressKind.SHARED, _networks("100.64.0.0/10")),
    (
        AddressKind.PRIVATE,
        _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    ),
    (
        AddressKind.RESERVED,
        _networks(
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
        ),
    ),
)
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_ISATAP = (0x00005EFE, 0x02005EFE)


def kind_of(address: IPAddress) -> AddressKind:
    """The kind of ``address`` itself; what it wraps is judged by :func:`wrapped_in`."""
    for kind, networks in _KINDS:
        if any(address in network for network in networks):
            return kind
    if any(wrapped_in(address)):
        return AddressKind.EMBEDDED
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return AddressKind.RESERVED
    return AddressKind.PUBLIC if address.is_global else AddressKind.RESERVED


def wrapped_in(address: IPAddress) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses that ``address`` may really lead to: mapped, compatible, 6to4, Teredo,
    NAT64 (RFC 6052, 8215) and ISATAP (RFC 5214)."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    number = int(address)
    last = ipaddress.IPv4Address(number & 0xFFFFFFFF)
    translated = any(address in network for network in _TRANSLATED)
    compatible = address in _COMPATIBLE and number > 1
    if translated or compatible or (number >> 32) & 0xFFFFFFFF in _ISATAP:
        yield last
