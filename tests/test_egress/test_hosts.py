"""Hosts are read one way, and odd ones not at all."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datanika.egress.hosts import canonical_host
from datanika.errors import EgressRefused


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("DB.Example.com", "db.example.com"),
        ("db.example.com.", "db.example.com"),
        ("my_service", "my_service"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.168.1.7", "192.168.1.7"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        # What a resolver makes of full-width digits and dots.
        ("１２７.０.０.１", "127.0.0.1"),
        ("127。0。0。1", "127.0.0.1"),
    ],
)
def test_the_usual_forms_are_read(written: str, read: str) -> None:
    host = canonical_host(written)
    assert host == read or ip_address(host) == ip_address(read)


@pytest.mark.parametrize(
    "written",
    [
        "", ".", "..", "a..b", "db.example.com..", "-a.example", "a-.example",
        "2130706433", "0x7f000001", "0x7f.1", "0x7F.0.0.1", "017700000001", "0177.0.0.1", "127.1",
        "127.0.1", "0", "0x", "1.2.3.4.5", "256.1.1.1", "127.0.0.1.", "db.example.0x7f",
        "user@host", "user:pw@host", "host:80", "http://host", "host/path", "host?x", "host#x",
        "host\\x", "a,b", "a b", "host\n", "host\x00", "\thost", "%31%32%37.0.0.1", "host%00",
        "fe80::1%eth0", "[fe80::1%25eth0]", "[127.0.0.1", "[db.example.com]", "/var/run/postgresql",
        "@abstract", "dbname=x", "'host'", "x" * 64 + ".example", "a." * 127 + "example", "ｘ＠ｙ",
        "⑯⑨。②⑤④。⑯⑨。②⑤④．",
    ],
)  # fmt: skip
def test_tricks_are_refused(written: str) -> None:
    with pytest.raises(EgressRefused) as refused:
        canonical_host(written)
    assert refused.value.code == "host_refused"
    assert refused.value.hint
    assert not written or written not in refused.value.message or len(written) < 3


@given(st.text(max_size=80))
def test_any_text_is_a_host_or_is_refused(text: str) -> None:
    try:
        host = canonical_host(text)
    except EgressRefused:
        return
    assert host.isascii()
    assert canonical_host(host) == host
    assert not set(host) & set(" /\\@?#,%='\"\t\r\n\0")


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "0x{:x}", "0{:o}", "0x{:x}."]))
def test_what_the_c_library_reads_as_an_address_is_never_a_name(number: int, form: str) -> None:
    written = form.format(number)
    with pytest.raises(EgressRefused):
        canonical_host(written)


@given(st.text("0123456789abcdefx.", min_size=1, max_size=20))
def test_a_name_is_never_read_as_an_address_by_the_c_library(text: str) -> None:
    try:
        host = canonical_host(text)
    except EgressRefused:
        return
    try:
        read = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return
    assert read == host
