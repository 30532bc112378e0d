"""An OpenID provider and a GitHub that tests run: everybody who asks is logged in as ``person``.

It checks what a provider must (client, redirect, PKCE, one use of a code), and can be told to lie.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse
from jose import jwk, jwt

from tests.support.serving import serving

CLIENT_ID, CLIENT_SECRET = "datanika", "s3cret"


def _pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def _keys() -> dict[str, str]:
    return {
        "ES256": _pem(ec.generate_private_key(ec.SECP256R1())),
        "RS256": _pem(rsa.generate_private_key(65537, 2048)),
    }


@dataclass
class OpenIDServer:
    """``lie`` changes the claims of the next ID tokens, ``sign`` replaces how they are signed."""

    url: str = ""
    algorithm: str = "ES256"
    keys: dict[str, str] = field(default_factory=_keys)
    person: dict[str, Any] = field(
        default_factory=lambda: {
            "sub": "ada-1", "email": "ada@example.com", "email_verified": True, "name": "Ada",
        }
    )  # fmt: skip
    lie: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any]], str] | None = None
    email_in_userinfo_only: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def public_key(self, algorithm: str) -> dict[str, Any]:
        """The JWK of a signing key."""
        key = jwk.construct(self.keys[algorithm], algorithm).public_key().to_dict()
        return {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in key.items()
        } | {"kid": algorithm, "use": "sig"}

    def id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            **self.person, "iss": self.url, "aud": CLIENT_ID, "nonce": nonce, "iat": now,
            "exp": now + 300, **self.lie,
        }  # fmt: skip
        if self.email_in_userinfo_only:
            claims = {key: value for key, value in claims.items() if "email" not in key}
        if self.sign is not None:
            return self.sign(claims)
        return str(
            jwt.encode(
                claims,
                self.keys[self.algorithm],
                algorithm=self.algorithm,
                headers={"kid": self.algorithm},
            )
        )

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        async def discovery() -> dict[str, str]:
            return {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
                "userinfo_endpoint": f"{self.url}/userinfo",
            }

        @app.get("/jwks")
        async def keys() -> dict[str, Any]:
            return {"keys": [self.public_key(algorithm) for algorithm in self.keys]}

        @app.get("/authorize")
        @app.get("/login/oauth/authorize")
        async def authorize(request: Request) -> RedirectResponse:
            asked = dict(request.query_params)
            code = secrets.token_urlsafe(8)
            self.codes[code] = asked
            query = urlencode({"code": code, "state": asked["state"]})
            return RedirectResponse(f"{asked['redirect_uri']}?{query}")

        @app.post("/token")
        @app.post("/login/oauth/access_token")
        async def token(request: Request) -> Any:
            given = dict(parse_qsl((await request.body()).decode()))
            asked = self.codes.pop(given.get("code", ""), None)
            basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
            known = (
                request.headers.get("authorization") == f"Basic {basic}"
                or given.get("client_secret") == CLIENT_SECRET
            )
            digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if (
                asked is None
                or not known
                or asked["redirect_uri"] != given.get("redirect_uri")
                or asked["code_challenge"] != challenge
            ):
                # GitHub refuses with a 200.
                github = request.url.path.startswith("/login/oauth")
                return JSONResponse({"error": "invalid_grant"}, 200 if github else 400)
            answer = {"access_token": "at-1", "token_type": "Bearer"}
            if "nonce" in asked:
                answer["id_token"] = self.id_token(asked["nonce"])
            return answer

        @app.get("/userinfo")
        async def userinfo(request: Request) -> dict[str, Any]:
            assert request.headers["authorization"] == "Bearer at-1"
            return self.person

        @app.get("/api/v3/user")
        async def github_user(request: Request) -> dict[str, Any]:
            assert request.headers["authorization"] == "Bearer at-1"
            return {"id": 4711, "login": "ada", "name": None}

        @app.get("/api/v3/user/emails")
        async def github_emails() -> list[dict[str, Any]]:
            verified = self.person["email_verified"]
            return [
                {"email": "second@example.com", "primary": False, "verified": True},
                {"email": self.person["email"], "primary": True, "verified": verified},
            ]

        return app


@asynccontextmanager
async def openid_server() -> AsyncIterator[OpenIDServer]:
    """A running provider."""
    server = OpenIDServer()
    async with serving(server.app()) as url:
        server.url = url
        yield server
