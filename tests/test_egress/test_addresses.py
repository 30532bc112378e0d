"""What an address is, whatever it is wrapped in."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datanika.egress.addresses import AddressKind, kind_of, wrapped_in

FORBIDDEN_V4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
]  # fmt: skip
FORBIDDEN_V6 = ["::/96", "64:ff9b::/96", "100::/64", "2001:db8::/32", "fc00::/7", "fe80::/10",
                "fec0::/10", "ff00::/8", "2002::/16", "2001::/32"]  # fmt: skip

v4 = st.sampled_from(FORBIDDEN_V4).flatmap(lambda text: st.ip_addresses(network=text))
v6 = st.sampled_from(FORBIDDEN_V6).flatmap(lambda text: st.ip_addresses(network=text))


@given(v4 | v6)
def test_no_special_address_counts_as_public(address: ipaddress.IPv4Address) -> None:
    assert kind_of(address) is not AddressKind.PUBLIC


@given(v4)
def test_a_wrapped_address_is_found(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    wrappings = {
        "mapped": (0xFFFF << 32) | number,
        "6to4": (0x2002 << 112) | number << 80,
        "NAT64": (0x0064FF9B << 96) | number,
        "local NAT64": (0x0064FF9B0001 << 80) | number,
        "Teredo server": (0x20010000 << 96) | number << 64 | 0xFFFFFFFF,
        "Teredo client": (0x20010000 << 96) | (number ^ 0xFFFFFFFF),
        "ISATAP": (0x20014860 << 96) | 0x5EFE << 32 | number,
    }
    for name, whole in wrappings.items():
        assert address in set(wrapped_in(ipaddress.IPv6Address(whole))), name
        assert kind_of(ipaddress.IPv6Address(whole)) is not AddressKind.PUBLIC, name


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("8.8.8.8", AddressKind.PUBLIC),
        ("2606:4700::1111", AddressKind.PUBLIC),
        ("10.1.2.3", AddressKind.PRIVATE),
        ("fd12::1", AddressKind.PRIVATE),
        ("127.0.0.1", AddressKind.LOOPBACK),
        ("::1", AddressKind.LOOPBACK),
        ("100.100.1.1", AddressKind.SHARED),
        ("169.254.1.1", AddressKind.LINK_LOCAL),
        ("fe80::1", AddressKind.LINK_LOCAL),
        ("169.254.169.254", AddressKind.METADATA),
        ("fd00:ec2::254", AddressKind.METADATA),
        ("100.100.100.200", AddressKind.METADATA),
        ("168.63.129.16", AddressKind.METADATA),
        ("0.0.0.0", AddressKind.UNSPECIFIED),
        ("::", AddressKind.UNSPECIFIED),
        ("224.0.0.1", AddressKind.MULTICAST),
        ("255.255.255.255", AddressKind.MULTICAST),
        ("ff02::1", AddressKind.MULTICAST),
        ("::ffff:8.8.8.8", AddressKind.EMBEDDED),
        ("240.0.0.1", AddressKind.RESERVED),
    ],
)
def test_kinds(text: str, kind: AddressKind) -> None:
    assert kind_of(ipaddress.ip_address(text)) is kind
