"""Host names as people and attackers write them.

What a URL parser, libpq and the C library make of an odd host differs (``0x7f.1``, ``127.1``,
``evil@host``, full-width digits). Odd ones are refused instead of interpreted: whoever means an
address can write it in its usual form.
"""

from __future__ import annotations

import ipaddress
import re

from datanika.egress.addresses import IPAddress
from datanika.errors import EgressRefused

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
MAX_LENGTH = 253


def canonical_host(host: str) -> str:
    """A lower-case ASCII name without a final dot, or an address in its usual form.

    Raises :class:`EgressRefused` ``host_refused``. IPv6 may be in brackets; a zone (``%eth0``) is
    refused, because it only makes sense for link-local addresses.
    """
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if (address := literal(text)) is not None:
        return str(address)
    if host.startswith("["):
        raise _refused(host)
    try:
        # As the resolver would: full-width digits and dots become plain ones before the checks.
        text = text.encode("idna").decode("ascii").lower() if not text.isascii() else text.lower()
    except UnicodeError:
        raise _refused(host) from None
    if (address := literal(text)) is not None:
        return str(address)
    labels = text.removesuffix(".").split(".")
    if len(text) > MAX_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused(host)
    if _NUMBER.fullmatch(labels[-1]):
        # The C library reads 2130706433, 0x7f.1 and 127.1 as addresses; top-level domains are
        # never numbers.
        raise _refused(host)
    return ".".join(labels)


def literal(text: str) -> IPAddress | None:
    """The address that ``text`` is in the usual form; None when it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if getattr(address, "scope_id", None) else address


def _refused(host: str) -> EgressRefused:
    # The host may be a whole connection string with a password in it: it is not quoted.
    return EgressRefused(
        "This is not a host: it must be a name, or an address in its usual form.",
        code="host_refused",
        hint="Write it like db.example.com, 192.0.2.10 or 2001:db8::10, and nothing else.",
        length=len(host),
    )
