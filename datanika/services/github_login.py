"""GitHub speaks OAuth, not OpenID Connect: who somebody is comes from its REST API.

https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from datanika.services.openid import Client, Flow, Identity, fetch, provider_client, provider_failed


@dataclass(frozen=True)
class GitHubProvider:
    """GitHub, or a GitHub Enterprise server at ``url``."""

    url: str
    client: Client
    name: str = "github"
    label: str = "GitHub"

    @property
    def api(self) -> str:
        """https://docs.github.com/enterprise-server/rest/quickstart"""
        return (
            "https://api.github.com" if self.url == "https://github.com" else f"{self.url}/api/v3"
        )

    async def authorization_url(self, flow: Flow, state: str, challenge: str) -> str:
        """Where the browser goes to log in."""
        query = {
            "client_id": self.client.id,
            "redirect_uri": flow.redirect_uri,
            "scope": "read:user user:email",
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self.url}/login/oauth/authorize?{urlencode(query)}"

    async def identify(self, flow: Flow, code: str) -> Identity:
        """Who logged in, with their primary address; raises :class:`AuthenticationError`."""
        async with provider_client() as http:
            tokens = await fetch(
                http.post(
                    f"{self.url}/login/oauth/access_token",
                    data={
                        "client_id": self.client.id,
                        "client_secret": self.client.secret,
                        "code": code,
                        "redirect_uri": flow.redirect_uri,
                        "code_verifier": flow.verifier,
                    },
                )
            )
            # A refused code is a 200 with an error in it.
            if not isinstance(tokens, dict) or not tokens.get("access_token"):
                raise provider_failed("GitHub did not accept the login.")
            headers = {"Authorization": f"Bearer {tokens['access_token']}"}
            user = await fetch(http.get(f"{self.api}/user", headers=headers))
            emails = await fetch(http.get(f"{self.api}/user/emails", headers=headers))
        if not isinstance(user, dict) or not isinstance(user.get("id"), int):
            raise provider_failed("GitHub did not say who logged in.")
        email = _primary(emails)
        return Identity(
            subject=str(user["id"]),
            email=str(email.get("email", "")),
            email_verified=email.get("verified") is True,
            name=str(user.get("name") or user.get("login") or ""),
        )


def _primary(emails: Any) -> dict[str, Any]:
    found = emails if isinstance(emails, list) else []
    return next((one for one in found if isinstance(one, dict) and one.get("primary")), {})
