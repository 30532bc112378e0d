"""Access tokens: what is kept for long is exchanged for what a run may use."""

from __future__ import annotations

import json
import time
from typing import Any

from datanika.contracts.egress import EgressPolicy
from datanika.egress.guard import EgressGuard
from datanika.engines.connectors.rest_parts import answer, error_name, login_refused
from datanika.errors import TerminalStepError

GOOGLE = "https://oauth2.googleapis.com/token"
HOUR = 3600


def access_token(url: str, form: dict[str, str], egress: EgressPolicy) -> str:
    """RFC 6749: what ``url`` gives for ``form``. Raises ``authentication_failed``."""
    from datanika.engines.dlt_engine.sources.pinned_session import pinned_session

    session = pinned_session(url, EgressGuard(egress))
    try:
        response = session.post(url, data=form, timeout=60)
    finally:
        session.close()
    found = answer(response)
    token = found.get("access_token")
    if response.status_code >= 500 or response.status_code == 429:
        response.raise_for_status()
    if not isinstance(token, str):
        raise login_refused(error_name(found) or f"HTTP {response.status_code}")
    return token


def service_account_token(
    key: str, scope: str, egress: EgressPolicy, url: str | None = None
) -> str:
    """Google's for a service account (RFC 7523). ``key``: the JSON file that Google made.

    Where the token comes from is fixed: the file's own ``token_uri`` could lead anywhere.
    """
    from google.auth import crypt, jwt

    try:
        info = json.loads(key)
        signer = crypt.RSASigner.from_string(info["private_key"], info.get("private_key_id"))
        issuer = str(info["client_email"])
    except (ValueError, KeyError, TypeError):
        raise TerminalStepError(
            "The service account key is not one: it must be the JSON file that Google made.",
            code="connection_config_invalid",
            field="config.service_account",
            hint="Create a key of type JSON for the service account, and paste the whole file.",
        ) from None
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": issuer, "scope": scope, "aud": GOOGLE, "iat": now, "exp": now + HOUR,
    }  # fmt: skip
    assertion = jwt.encode(signer, claims).decode()
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    return access_token(url or GOOGLE, form, egress)
