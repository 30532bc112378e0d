"""Other people's logins: OpenID Connect (Google and any other provider) and GitHub's OAuth.

Authorization code with PKCE. Discovery and keys are fetched for every login: nothing is stale.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

import httpx

from datanika.config import settings
from datanika.errors import AuthenticationError, NotFound
from datanika.security import read_id_token

logger = logging.getLogger(__name__)

GOOGLE_ISSUER: Final = "https://accounts.google.com"
TIMEOUT: Final = httpx.Timeout(10.0)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a provider says somebody is. ``subject`` never changes, the address may."""

    subject: str
    email: str
    email_verified: bool
    name: str


@dataclass(frozen=True, slots=True)
class Client:
    """What Datanika is at a provider."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Flow:
    """The values that tie a login's two halves together."""

    redirect_uri: str
    nonce: str
    verifier: str = field(repr=False)


class Provider(Protocol):
    """Somebody whose login may open an account here."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    async def authorization_url(self, flow: Flow, state: str, challenge: str) -> str: ...
    async def identify(self, flow: Flow, code: str) -> Identity: ...


@dataclass(frozen=True)
class OpenIDProvider:
    """A provider with a discovery document (OpenID Connect Discovery 1.0)."""

    name: str
    label: str
    issuer: str
    client: Client

    async def authorization_url(self, flow: Flow, state: str, challenge: str) -> str:
        """Where the browser goes to log in."""
        async with provider_client() as http:
            endpoint = (await self._discover(http))["authorization_endpoint"]
        query = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": flow.redirect_uri,
            "scope": "openid email profile",
            "state": state,
            "nonce": flow.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"

    async def identify(self, flow: Flow, code: str) -> Identity:
        """Who logged in; raises :class:`AuthenticationError`."""
        async with provider_client() as http:
            found = await self._discover(http)
            tokens = await fetch(
                http.post(
                    found["token_endpoint"],
                    auth=(self.client.id, self.client.secret),
                    data={
                        "grant_type": "authorization_code",
                        "code": code,
                        "redirect_uri": flow.redirect_uri,
                        "code_verifier": flow.verifier,
                    },
                )
            )
            claims = read_id_token(
                str(tokens.get("id_token", "")),
                await fetch(http.get(found["jwks_uri"])),
                issuer=self.issuer,
                client_id=self.client.id,
                nonce=flow.nonce,
                access_token=tokens.get("access_token"),
            )
            if "email" not in claims and "userinfo_endpoint" in found:
                claims = await self._with_userinfo(
                    http, found["userinfo_endpoint"], str(tokens.get("access_token")), claims
                )
        email = str(claims.get("email", ""))
        return Identity(
            subject=str(claims["sub"]),
            email=email,
            # Some providers send the boolean as text.
            email_verified=claims.get("email_verified") in (True, "true"),
            name=str(claims.get("name") or email.partition("@")[0]),
        )

    async def _discover(self, http: httpx.AsyncClient) -> dict[str, Any]:
        found: dict[str, Any] = await fetch(
            http.get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        )
        if found.get("issuer") != self.issuer:
            raise provider_failed("The discovery document names another issuer.")
        scheme = urlsplit(self.issuer).scheme
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if urlsplit(str(found.get(name))).scheme not in ("https", scheme):
                raise provider_failed(f"The discovery document has no usable {name}.")
        return found

    @staticmethod
    async def _with_userinfo(
        http: httpx.AsyncClient, endpoint: str, access_token: str, claims: dict[str, Any]
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {access_token}"}
        more: dict[str, Any] = await fetch(http.get(endpoint, headers=headers))
        # Section 5.3.2: it may be about somebody else.
        if more.get("sub") != claims["sub"]:
            raise provider_failed("The user information is about somebody else.")
        return {**more, **claims}


@asynccontextmanager
async def provider_client() -> AsyncIterator[httpx.AsyncClient]:
    """A client for the operator's providers: no redirects, ten seconds."""
    async with httpx.AsyncClient(timeout=TIMEOUT, headers={"Accept": "application/json"}) as http:
        yield http


async def fetch(request: Awaitable[httpx.Response]) -> Any:
    """The JSON that a provider answers; raises :class:`AuthenticationError`."""
    try:
        answer = await request
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        status = getattr(getattr(error, "response", None), "status_code", "")
        logger.warning("A login provider failed: %s %s", type(error).__name__, status)
        raise provider_failed("The provider did not accept the login.") from None


def provider_failed(message: str) -> AuthenticationError:
    """The provider refused, did not answer, or said something that makes no sense."""
    return AuthenticationError(message, code="provider_failed", hint="Try again.")


def providers() -> Sequence[Provider]:
    """Those that the settings configure."""
    from datanika.services.github_login import GitHubProvider

    found: list[Provider] = []
    google = _client(settings.google_client_id, settings.google_client_secret)
    if google is not None:
        found.append(OpenIDProvider("google", "Google", GOOGLE_ISSUER, google))
    github = _client(settings.github_client_id, settings.github_client_secret)
    if github is not None:
        found.append(GitHubProvider(settings.github_url.rstrip("/"), github))
    other = _client(settings.oidc_client_id, settings.oidc_client_secret)
    if other is not None and settings.oidc_issuer is not None:
        found.append(OpenIDProvider("oidc", settings.oidc_label, settings.oidc_issuer, other))
    return found


def provider_called(name: str) -> Provider:
    """Raises :class:`NotFound`."""
    for provider in providers():
        if provider.name == name:
            return provider
    raise NotFound("There is no such login provider.", code="provider_not_found")


def is_trusted(name: str) -> bool:
    """Whether a login there may open an account that can be opened otherwise."""
    trusted = settings.trusted_login_providers.split(",")
    return name in [one.strip() for one in trusted]


def _client(client_id: str | None, secret: Any) -> Client | None:
    if client_id is None or secret is None:
        return None
    return Client(client_id, secret.get_secret_value())
