"""No form of a secret survives the redactor."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

from hypothesis import given, settings
from hypothesis import strategies as st

from datanika.execution.redact import MASK, Redactor

SECRETS = ["s3cret/ä+ß%", "plain-password", 'it\'s \\ "quoted"', "p w"]


def test_every_written_form_is_masked() -> None:
    redactor = Redactor(SECRETS)
    for secret in [s for s in SECRETS if len(s) >= 4]:
        for form in (
            secret,
            quote(secret),
            quote(secret, safe=""),
            quote_plus(secret),
            json.dumps(secret)[1:-1],
            repr(secret)[1:-1],
            secret.replace("'", "''"),
            secret.encode().hex(),
        ):
            assert redactor.text(f"before {form} after") == f"before {MASK} after"


def test_base64_is_masked_at_every_alignment() -> None:
    secret = "correct horse battery"
    redactor = Redactor([secret])
    for prefix in ("", "u", "us", "user:"):
        encoded = base64.b64encode(f"{prefix}{secret}".encode()).decode()
        cleaned = redactor.text(encoded)
        assert MASK in cleaned
        leaked = cleaned.replace(MASK, "")
        assert len(leaked) <= len(encoded) - len(secret)


def test_values_and_keys_of_nested_data_are_masked() -> None:
    value = {"a": ["x plain-password"], "plain-password": {"b": 1}}
    assert Redactor(SECRETS).value(value) == {"a": [f"x {MASK}"], MASK: {"b": 1}}


def test_a_secret_inside_a_longer_one_leaves_nothing_of_it() -> None:
    assert Redactor(["abcd", "abcdefgh"]).text("abcdefgh") == MASK


def test_no_secrets_change_nothing() -> None:
    assert Redactor(["", "abc"]).text("abc is short") == "abc is short"


@settings(deadline=None)
@given(st.text(min_size=4, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_the_plain_secret_never_survives(secret: str, before: str, after: str) -> None:
    cleaned = Redactor([secret]).text(before + secret + after)
    assert secret not in cleaned.replace(MASK, "\x00" * 50) or secret in MASK
