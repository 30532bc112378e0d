"""A person's own account: profile, password, address, second factor, logins, its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import reflex as rx
import segno

from datanika.contracts.api import (
    EmailChangeIn,
    PasswordChangeIn,
    ProfilePatch,
    ProofIn,
    TotpCodeIn,
    TotpDisableIn,
)
from datanika.contracts.enums import Locale
from datanika.db import SYSTEM, get_session
from datanika.errors import DatanikaError, InvalidInput
from datanika.services.account import AccountService
from datanika.services.deployer import cancel_flow_run
from datanika.services.mail_queue import enqueue, send_one
from datanika.services.paging import PageRequest
from datanika.ui.session import require_actor
from datanika.ui.state.given import an_id, later, read, secret, texts
from datanika.ui.state.tenant import TenantState
from datanika.ui.views.settings import IdentityRow, SessionRow, identity_row, session_row

MOST_SHOWN = 50


class AccountState(TenantState):
    """``totp_secret`` and ``totp_picture`` (a data URI) are what an authenticator app is given
    while the second factor is set up; ``recovery_codes`` are shown once."""

    name: str = ""
    email: str = ""
    locale: str = ""
    has_password: bool = True
    totp_enabled: bool = False
    totp_secret: str = ""
    totp_picture: str = ""
    recovery_codes: list[str] = []
    sessions: list[SessionRow] = []
    identities: list[IdentityRow] = []
    form_number: int = 0
    asked: str = ""
    to_load: str = ""

    @rx.event
    async def load_account(self) -> None:
        self._clear_error()
        self.asked, self.to_load = "", ""
        self._forget_secrets()
        await self._load()

    @rx.event
    async def save_profile(self, form: dict[str, Any]) -> None:
        """Another name, another language of mails."""
        async with self._account() as account:
            body = read(ProfilePatch, {"name": "", **texts(form, "name", "locale")})
            await account.change_profile(body.name, body.locale)
        if not self.error:
            self._succeed("account.saved")
            await self._load()

    @rx.event
    async def change_password(self, form: dict[str, Any]) -> None:
        """Another password; every other login ends."""
        mail_id = 0
        async with self._account() as account:
            body = read(
                PasswordChangeIn,
                {
                    "current_password": secret(form, "current_password"),
                    "new_password": secret(form, "new_password") or "",
                    "revoke_keys": bool(form.get("revoke_keys")),
                },
            )
            mail = await account.change_password(
                body.current_password, body.new_password, keys_too=body.revoke_keys
            )
            mail_id = await enqueue(account.session, mail)
        if self.error:
            return
        later(send_one(mail_id))
        # The fields are drawn anew, empty.
        self.form_number += 1
        self._succeed("account.password_changed")
        await self._load()

    @rx.event
    async def change_email(self, form: dict[str, Any]) -> None:
        """Ask for another address: it counts once the link in the mail to it was opened."""
        mail_id = 0
        async with self._account() as account:
            body = read(
                EmailChangeIn,
                {"password": secret(form, "email_password"), **texts(form, "email")},
            )
            mail = await account.request_email_change(body.email, body.password)
            mail_id = await enqueue(account.session, mail)
        if self.error:
            return
        later(send_one(mail_id))
        self.form_number += 1
        self._succeed("account.email_asked")

    @rx.event
    async def set_up_totp(self, form: dict[str, Any]) -> None:
        """The first of two steps: what the app is given."""
        async with self._account() as account:
            body = read(ProofIn, {"password": secret(form, "totp_password")})
            enrolment = await account.set_up_totp(body.password)
            self.totp_secret = enrolment.secret
            self.totp_picture = segno.make(enrolment.url, micro=False).svg_data_uri(
                scale=5, border=3, dark="#000", light="#fff"
            )
        if self.error:
            self._forget_secrets()

    @rx.event
    async def enable_totp(self, form: dict[str, Any]) -> None:
        """The second step, with a code of the app."""
        async with self._account() as account:
            body = read(TotpCodeIn, texts(form, "code"))
            codes = await account.enable_totp(body.code)
        if self.error:
            return
        self._forget_secrets()
        self.recovery_codes = codes
        self._succeed("account.totp_enabled")
        await self._load()

    @rx.event
    def forget_codes(self) -> None:
        """The codes were written down, or the set-up was given up."""
        self._forget_secrets()

    @rx.event
    async def disable_totp(self, form: dict[str, Any]) -> None:
        """Switch the second factor off."""
        async with self._account() as account:
            body = read(
                TotpDisableIn, {"password": secret(form, "totp_password"), **texts(form, "code")}
            )
            await account.disable_totp(body.password, body.code)
        if not self.error:
            self.form_number += 1
            self._succeed("account.totp_disabled")
            await self._load()

    @rx.event
    async def end_session(self, session_id: int) -> None:
        """End one login."""
        own = False
        async with self._account() as account:
            own = account.actor.session_id == session_id
            await account.end_session(an_id(session_id))
        if self.error:
            return
        if own:
            self.to_load = "/login"
            return
        self._succeed("account.session_ended")
        await self._load()

    @rx.event
    async def end_other_sessions(self) -> None:
        """End every login but this one."""
        async with self._account() as account:
            await account.end_other_sessions()
        if not self.error:
            self._succeed("account.sessions_ended")
            await self._load()

    @rx.event
    async def unlink(self, identity_id: int) -> None:
        """A login at another provider opens this account no more."""
        async with self._account() as account:
            await account.unlink(an_id(identity_id))
        if not self.error:
            self._succeed("account.unlinked")
            await self._load()

    @rx.event
    def ask_to_erase(self) -> None:
        self.asked = "erase"

    @rx.event
    def close_question(self) -> None:
        self.asked = ""

    @rx.event
    async def erase(self, form: dict[str, Any]) -> None:
        """End the account for good, if its address was typed."""
        stopped: list[str] = []
        async with self._account() as account:
            if str(form.get("confirm") or "").strip().lower() != account.actor.email.lower():
                raise InvalidInput(
                    "This is not your address.", code="not_confirmed", field="confirm"
                )
            body = read(ProofIn, {"password": secret(form, "erase_password")})
            stopped = list(await account.erase(body.password))
        if self.error:
            return
        for flow_run_id in stopped:
            later(cancel_flow_run(flow_run_id))
        self.to_load = "/login"

    def _forget_secrets(self) -> None:
        self.totp_secret, self.totp_picture, self.recovery_codes = "", "", []

    @asynccontextmanager
    async def _account(self) -> AsyncIterator[AccountService]:
        """The sender's account in a transaction of its own; refusals are shown."""
        self._clear_error()
        actor = require_actor()
        try:
            async with get_session(SYSTEM) as session:
                yield AccountService(session, actor, self.router.session.client_ip)
        except DatanikaError as error:
            self._fail(error)

    async def _load(self) -> None:
        async with self._account() as account:
            user = await account.user()
            self.name, self.email = user.name, user.email
            self.locale = Locale(user.locale).value
            self.has_password = user.password_hash is not None
            self.totp_enabled = user.totp_enabled_at is not None
            page = PageRequest(MOST_SHOWN, None, "-id")
            logins = await account.sessions(page)
            self.sessions = [session_row(one, account.actor) for one in logins.rows]
            linked = await account.identities(page)
            self.identities = [identity_row(one) for one in linked.rows]
