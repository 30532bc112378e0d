"""``client.auth``"""

from __future__ import annotations

from collections.abc import Sequence

from datanika.client.resource import Resource
from datanika.contracts.api import (
    AcceptedOut,
    EmailIn,
    LoginIn,
    MeOut,
    NewPasswordIn,
    ProviderOut,
    RefreshIn,
    RegisteredOut,
    RegisterIn,
    SwitchIn,
    TokenIn,
    TokensOut,
)
from datanika.contracts.enums import Locale


class Auth(Resource):
    """Sign-up and logins. The client uses the access token of what it got last."""

    def me(self) -> MeOut:
        """Who this credential is, in which organisation, with which permissions."""
        return self._get(MeOut, "auth/me")

    def register(
        self,
        email: str,
        password: str,
        name: str,
        organization_name: str,
        *,
        locale: Locale | None = None,
    ) -> RegisteredOut:
        """Ask for a user and the organisation they own. The answer does not tell whether the
        address has an account already: a login does."""
        body = RegisterIn(
            email=email,
            password=password,
            name=name,
            organization_name=organization_name,
            locale=locale,
        )
        return self._post(RegisteredOut, "auth/register", body)

    def resend_confirmation(self, email: str) -> AcceptedOut:
        """Mail the link that confirms the address again."""
        return self._post(AcceptedOut, "auth/email-confirmation", EmailIn(email=email))

    def confirm_email(self, token: str) -> None:
        """The address is right; ``token`` is from the link in the mail."""
        self._do("auth/email-confirmation/confirm", TokenIn(token=token))

    def login(
        self,
        email: str,
        password: str,
        *,
        org_id: int | None = None,
        totp_code: str | None = None,
    ) -> TokensOut:
        """Log in, to ``org_id`` of several organisations."""
        body = LoginIn(email=email, password=password, org_id=org_id, totp_code=totp_code)
        return self._use(self._post(TokensOut, "auth/login", body))

    def refresh(self, refresh_token: str) -> TokensOut:
        """New tokens for those before; a refresh token is good for one refresh."""
        body = RefreshIn(refresh_token=refresh_token)
        return self._use(self._post(TokensOut, "auth/refresh", body))

    def switch(self, org_id: int, refresh_token: str) -> TokensOut:
        """Tokens for another of one's organisations; those before are used up."""
        body = SwitchIn(org_id=org_id, refresh_token=refresh_token)
        return self._use(self._post(TokensOut, "auth/switch", body))

    def logout(self, refresh_token: str) -> None:
        """End the login."""
        self._do("auth/logout", RefreshIn(refresh_token=refresh_token))

    def request_password_reset(self, email: str) -> AcceptedOut:
        """Mail a link to whoever has that address and forgot the password."""
        return self._post(AcceptedOut, "auth/password-reset", EmailIn(email=email))

    def reset_password(self, token: str, password: str) -> None:
        """A new password; ``token`` is from the link in the mail."""
        self._do("auth/password-reset/confirm", NewPasswordIn(token=token, password=password))

    def providers(self) -> Sequence[ProviderOut]:
        """Whose logins open Datanika, too. Such a login needs a browser."""
        return self._whole(ProviderOut, "auth/providers")

    def _use(self, tokens: TokensOut) -> TokensOut:
        self._http.authenticate(tokens.access_token)
        return tokens
