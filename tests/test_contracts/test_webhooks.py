"""A webhook is believed only with the right secret, the exact body and a fresh timestamp."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from datanika.client import verify_webhook
from datanika.contracts.webhooks import new_webhook_secret, sign_webhook
from datanika.errors import InvalidInput

SECRET, BODY, AT = "whsec_a", b'{"event":"run.failed"}', 1_700_000_000


def refusal(secret: str, header: str, body: bytes = BODY, now: float = AT) -> str:
    with pytest.raises(InvalidInput) as refused:
        verify_webhook(secret, header, body, now=now)
    return refused.value.code


def test_the_scheme_is_the_documented_one() -> None:
    mac = hmac.new(b"whsec_a", b"1700000000." + BODY, hashlib.sha256).hexdigest()
    assert sign_webhook([SECRET], BODY, AT) == f"t=1700000000,v1={mac}"
    verify_webhook(SECRET, f"t=1700000000,v1={mac}", BODY, now=AT)


def test_another_secret_body_or_time_is_refused() -> None:
    header = sign_webhook([SECRET], BODY, AT)
    assert refusal("whsec_b", header) == "webhook_signature_invalid"
    assert refusal(SECRET, header, BODY + b" ") == "webhook_signature_invalid"
    later = header.replace("t=1700000000", "t=1700000001")
    assert refusal(SECRET, later) == "webhook_signature_invalid"


def test_an_old_or_a_future_webhook_is_a_replay() -> None:
    header = sign_webhook([SECRET], BODY, AT)
    for now in (AT + 300, AT - 300):
        verify_webhook(SECRET, header, BODY, now=now)
    for now in (AT + 301, AT - 301):
        assert refusal(SECRET, header, now=now) == "webhook_timestamp_old"
    verify_webhook(SECRET, header, BODY, tolerance_seconds=1000, now=AT + 900)
    with pytest.raises(InvalidInput):
        verify_webhook(SECRET, header, BODY)


def test_during_a_rotation_either_secret_will_do() -> None:
    header = sign_webhook([SECRET, "whsec_old"], BODY, AT)
    for secret in (SECRET, "whsec_old"):
        verify_webhook(secret, header, BODY, now=AT)
    assert refusal("whsec_other", header) == "webhook_signature_invalid"


@pytest.mark.parametrize(
    "header",
    ["", "t=,v1=", "v1=" + "0" * 64, f"t={AT}", f"t={AT},v0=" + "0" * 64, f"t={AT},v1=" + "0" * 63,
     f"t={AT},v1=" + "G" * 64, f"t={'9' * 5000},v1=" + "0" * 64, f"t=١٢,v1={'0' * 64}", "\0\ud800",
     f"t={AT},v1={'0' * 64}\n"],
)  # fmt: skip
def test_a_header_of_another_shape_is_refused(header: str) -> None:
    assert refusal(SECRET, header) == "webhook_signature_invalid"


def test_every_secret_is_another() -> None:
    first, second = new_webhook_secret(), new_webhook_secret()
    assert first != second
    assert first.startswith("whsec_") and len(first) >= 6 + 43
