"""Accounts, logins and who one is."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.enums import Role


class RegisterIn(Body):
    email: str = Field(max_length=320, examples=["ada@example.com"])
    password: str = Field(repr=False, examples=["correct horse battery staple"])
    name: str = Field(min_length=1, max_length=200, examples=["Ada Lovelace"])
    organization_name: str = Field(min_length=1, max_length=200, examples=["Analytical Engines"])


class LoginIn(Body):
    email: str = Field(max_length=320, examples=["ada@example.com"])
    password: str = Field(repr=False, examples=["correct horse battery staple"])
    org_id: int | None = Field(default=None, description="Of several organisations, this one.")


class RefreshIn(Body):
    refresh_token: str = Field(repr=False)


class TokensOut(Answer):
    access_token: str = Field(repr=False, description="Send it as `Authorization: Bearer …`.")
    refresh_token: str = Field(repr=False, description="Good for one refresh.")
    token_type: str = "bearer"
    expires_in: int = Field(description="Seconds until the access token ends.")
    org_id: int


class RegisteredOut(Answer):
    user_id: int
    org_id: int


class SessionOut(Answer):
    org_id: int
    expires_at: dt.datetime


class MeOut(Answer):
    user_id: int
    email: str
    org_id: int
    organization: str
    role: Role
    permissions: list[str]
