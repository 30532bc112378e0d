"""Accounts, logins and who one is."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import Field

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.enums import Locale, Role
from datanika.contracts.text import Name, RowId

Email = Annotated[str, Field(min_length=3, max_length=320, examples=["ada@example.com"])]
Password = Annotated[
    str,
    Field(
        repr=False,
        max_length=1000,
        description="As UTF-8 at most 72 bytes.",
        examples=["correct horse battery staple"],
    ),
]
NewPassword = Annotated[
    str,
    Field(
        repr=False,
        min_length=8,
        max_length=72,
        description="As UTF-8 at most 72 bytes.",
        examples=["correct horse battery staple"],
    ),
]
Token = Annotated[
    str, Field(repr=False, min_length=1, max_length=200, description="Of the link in the mail.")
]
TotpCode = Annotated[
    str,
    Field(
        repr=False,
        max_length=40,
        description="Of the authenticator app, or a recovery code.",
        examples=["492039"],
    ),
]


RevokeKeys = Annotated[
    bool,
    Field(
        description="Also revoke every API key that you made, in all organisations, and unlink "
        "your logins at other providers. For when somebody else was in your account."
    ),
]


class RegisterIn(Body):
    email: Email
    password: NewPassword
    name: Name = Field(examples=["Ada Lovelace"])
    organization_name: Name = Field(examples=["Analytical Engines"])
    locale: Locale | None = Field(default=None, description="Else what `Accept-Language` asks for.")


class LoginIn(Body):
    email: str = Field(max_length=320, examples=["ada@example.com"])
    password: Password
    org_id: RowId | None = Field(default=None, description="Of several organisations, this one.")
    totp_code: str | None = Field(
        default=None,
        repr=False,
        max_length=40,
        description="Of the authenticator app, or a recovery code.",
    )


class RefreshIn(Body):
    refresh_token: str = Field(
        repr=False, max_length=200, examples=["pCkXt3x1M0m7rS8dBqTfVw2yZ4aG6hJ9"]
    )


class EmailIn(Body):
    email: Email


class TokenIn(Body):
    token: Token


class NewPasswordIn(Body):
    token: Token
    password: NewPassword
    revoke_keys: RevokeKeys = False


class TokensOut(Answer):
    access_token: str = Field(repr=False, description="Send it as `Authorization: Bearer …`.")
    refresh_token: str = Field(repr=False, description="Good for one refresh.")
    token_type: str = "bearer"
    expires_in: int = Field(description="Seconds until the access token ends.")
    org_id: int | None = Field(description="Null while you are in no organisation.")


class RegisteredOut(Answer):
    """The same whether the address was new or has an account already: its mailbox knows."""

    must_confirm_email: bool = Field(description="Whether a login needs the link of the mail.")


class AcceptedOut(Answer):
    """The same whether the address has an account or not."""

    detail: str = "If the address is right, a mail is on its way."


class ProviderOut(Answer):
    """Somebody else whose login opens Datanika."""

    name: str = Field(examples=["google"])
    label: str = Field(examples=["Google"])
    start_url: str = Field(description="Open it in a browser; `?next=` says where to go then.")


class SessionOut(Answer):
    org_id: int | None = Field(description="Null while you are in no organisation.")
    expires_at: dt.datetime


class MeOut(Answer):
    """Organisation and role are null, and nothing is permitted, while you are in no
    organisation."""

    user_id: int
    email: str
    name: str
    locale: Locale
    org_id: int | None
    organization: str | None
    role: Role | None
    permissions: list[str]
