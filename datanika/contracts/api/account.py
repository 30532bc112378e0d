"""A person's own account."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from datanika.contracts.api.auth import Email, NewPassword, RevokeKeys, TotpCode
from datanika.contracts.api.base import Answer, Body
from datanika.contracts.enums import Locale
from datanika.contracts.text import Name


class AccountOut(Answer):
    """Who the person is everywhere; what they may do here is `GET /auth/me`."""

    id: int
    email: str
    email_verified: bool
    name: str
    locale: Locale
    has_password: bool
    totp_enabled: bool
    created_at: dt.datetime


class ProfilePatch(Body):
    name: Name | None = Field(default=None, examples=["Ada King"])
    locale: Locale | None = None


class ProofIn(Body):
    """Needed where the account has a password; else the login must be younger than ten minutes."""

    password: str | None = Field(
        default=None, repr=False, max_length=1000, examples=["correct horse battery staple"]
    )


class PasswordChangeIn(Body):
    current_password: str | None = Field(
        default=None,
        repr=False,
        max_length=1000,
        description="Needed where the account has one.",
    )
    new_password: NewPassword
    revoke_keys: RevokeKeys = False


class EmailChangeIn(ProofIn):
    email: Email


class LoginSessionOut(Answer):
    """One login: `refresh` of a program, `session` of a browser."""

    id: int
    kind: str
    method: str = Field(examples=["password"])
    user_agent: str
    address: str
    created_at: dt.datetime
    last_used_at: dt.datetime
    expires_at: dt.datetime
    is_current: bool


class EndedOut(Answer):
    ended: int = Field(description="How many logins ended.")


class TotpSetupOut(Answer):
    """For an authenticator app; shown this once."""

    secret: str = Field(repr=False)
    otpauth_url: str = Field(repr=False, description="What the QR code holds.")


class TotpCodeIn(Body):
    code: TotpCode


class TotpDisableIn(ProofIn):
    code: TotpCode


class RecoveryCodesOut(Answer):
    recovery_codes: list[str] = Field(
        repr=False, description="Each opens one login without the app. Shown this once."
    )


class IdentityOut(Answer):
    """A login at another provider that opens this account."""

    id: int
    provider: str
    email: str
    created_at: dt.datetime


class LinkStartedOut(Answer):
    authorization_url: str = Field(description="Go there in this browser.")
