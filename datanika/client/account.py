"""``client.account``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from datanika.client.resource import Resource
from datanika.contracts.api import (
    AcceptedOut,
    AccountOut,
    EmailChangeIn,
    EndedOut,
    IdentityOut,
    LoginSessionOut,
    PasswordChangeIn,
    ProfilePatch,
    ProofIn,
    RecoveryCodesOut,
    TotpCodeIn,
    TotpDisableIn,
    TotpSetupOut,
)

SessionSort = Literal["id", "-id", "created_at", "-created_at", "last_used_at", "-last_used_at"]
IdentitySort = Literal["id", "-id", "created_at", "-created_at"]


class Account(Resource):
    """One's own account: for a person who logged in, not for an API key.

    ``password`` is needed where the account has one; else the login must be younger than ten
    minutes.
    """

    def get(self) -> AccountOut:
        """Who one is everywhere."""
        return self._get(AccountOut, "account")

    def update(self, change: ProfilePatch) -> AccountOut:
        """Change what is given."""
        return self._patch(AccountOut, "account", change)

    def change_password(self, new_password: str, *, current_password: str | None = None) -> None:
        """Every other login ends."""
        body = PasswordChangeIn(current_password=current_password, new_password=new_password)
        self._do("account/password", body)

    def change_email(self, email: str, *, password: str | None = None) -> AcceptedOut:
        """Ask for another address: the link that is mailed there makes it so."""
        body = EmailChangeIn(email=email, password=password)
        return self._post(AcceptedOut, "account/email", body)

    def erase(self, *, password: str | None = None) -> None:
        """The account is gone for good."""
        self._do("account/erase", ProofIn(password=password))

    def sessions(
        self, *, sort: SessionSort | None = None, page_size: int | None = None
    ) -> Iterator[LoginSessionOut]:
        """Where one is logged in."""
        return self._items(LoginSessionOut, "account/sessions", sort=sort, limit=page_size)

    def end_session(self, session_id: int) -> None:
        """Log out there."""
        self._delete(f"account/sessions/{session_id}")

    def end_other_sessions(self) -> EndedOut:
        """Log out everywhere but here."""
        return EndedOut.model_validate_json(self._delete("account/sessions"))

    def set_up_totp(self, *, password: str | None = None) -> TotpSetupOut:
        """The secret for an authenticator app; ``enable_totp`` makes it count."""
        return self._post(TotpSetupOut, "account/totp", ProofIn(password=password))

    def enable_totp(self, code: str) -> RecoveryCodesOut:
        """Logins need the app from now on. The recovery codes are in this answer only."""
        return self._post(RecoveryCodesOut, "account/totp/enable", TotpCodeIn(code=code))

    def disable_totp(self, code: str, *, password: str | None = None) -> None:
        """Logins need no app any more."""
        self._do("account/totp/disable", TotpDisableIn(code=code, password=password))

    def identities(
        self, *, sort: IdentitySort | None = None, page_size: int | None = None
    ) -> Iterator[IdentityOut]:
        """The logins at other providers that open this account."""
        return self._items(IdentityOut, "account/identities", sort=sort, limit=page_size)

    def unlink_identity(self, identity_id: int) -> None:
        """It opens this account no more."""
        self._delete(f"account/identities/{identity_id}")
