"""How a webhook proves that Datanika sent it, and sent it now.

``Datanika-Signature: t=<unix seconds>,v1=<hex>``, where the hex is HMAC-SHA256 of ``<t>.<body>``
under the channel's secret. While a secret is being rotated there are two ``v1``, and either will
do. One event may arrive more than once: its ``Datanika-Event-Id`` stays the same.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable

from datanika.errors import InvalidInput

SIGNATURE_HEADER = "Datanika-Signature"
EVENT_HEADER = "Datanika-Event"
EVENT_ID_HEADER = "Datanika-Event-Id"
SECRET_PREFIX = "whsec_"
_HEADER = re.compile(r"t=([0-9]{1,12})((?:,v1=[0-9a-f]{64}){1,4})", re.ASCII)


def new_webhook_secret() -> str:
    """``whsec_`` and 256 random bits."""
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def sign_webhook(keys: Iterable[str], body: bytes, at: int) -> str:
    """The header's value for ``body``, sent at the unix time ``at``, under each of ``keys``."""
    return ",".join([f"t={at}", *(f"v1={_mac(key, at, body)}" for key in keys)])


def verify_webhook(
    secret: str,
    header: str,
    body: bytes,
    tolerance_seconds: int = 300,
    *,
    now: float | None = None,
) -> None:
    """Return when ``header`` signs ``body`` under ``secret``, and did so a short time ago.

    ``body`` is what arrived, byte for byte: JSON that was parsed and written again is another.
    Raises :class:`InvalidInput` ``webhook_signature_invalid`` or, for one that is right but older
    or newer than ``tolerance_seconds``, ``webhook_timestamp_old``.
    """
    found = _HEADER.fullmatch(header)
    if found is None:
        raise _wrong("The signature is not one of Datanika's.")
    at = int(found[1])
    expected = _mac(secret, at, body)
    # Every one is compared, and each in constant time.
    matches = [hmac.compare_digest(expected, part[3:]) for part in found[2].split(",")[1:]]
    if not any(matches):
        raise _wrong("The signature does not fit the body and the secret.")
    if abs((time.time() if now is None else now) - at) > tolerance_seconds:
        raise InvalidInput(
            f"The webhook was not signed within the last {tolerance_seconds} s.",
            code="webhook_timestamp_old",
            hint="It may be a replay; if it is not, look at the clocks of both machines.",
        )


def _mac(secret: str, at: int, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def _wrong(message: str) -> InvalidInput:
    return InvalidInput(
        message,
        code="webhook_signature_invalid",
        hint="Take the raw body and the secret that was shown when the channel was made.",
    )
