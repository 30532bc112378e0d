"""The optional second factor: codes of an authenticator app (RFC 6238), and recovery codes.

The secret is encrypted and bound to the user's row. A code opens one login: its time step is
remembered, and of parallel logins with the same code one gets in. System scope.
"""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

import pyotp
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from datanika.contracts.events import utcnow
from datanika.errors import AuthenticationError, Conflict, InvalidInput, NotFound
from datanika.models import User
from datanika.services.encryption import EncryptionService
from datanika.services.throttle import attempt
from datanika.services.user_tokens import first_use, forget, issue, use_up

ISSUER: Final = "Datanika"
STEP_SECONDS: Final = 30
RECOVERY_CODES: Final = 10
_RECOVERY_BYTES: Final = 10
"""80 bits: too many to find from the stored hash."""
_TABLE: Final = User.__tablename__


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator app needs; shown once."""

    secret: str = field(repr=False)
    url: str = field(repr=False)


class SecondFactor:
    """One user's second factor."""

    def __init__(self, session: AsyncSession, user_id: int) -> None:
        self.session = session
        self.user_id = user_id

    async def set_up(self) -> Enrolment:
        """A new secret, in force after :meth:`enable`. Raises :class:`Conflict` when one is."""
        user = await self._locked()
        if user.totp_enabled_at is not None:
            raise Conflict(
                "The second factor is on already.", code="totp_enabled", hint="Switch it off first."
            )
        secret = pyotp.random_base32()
        user.totp_secret = EncryptionService().encrypt(
            {"secret": secret}, org_id=0, table=_TABLE, row_id=user.id
        )
        await self.session.flush()
        url = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER)
        return Enrolment(secret, url)

    async def enable(self, code: str, address: str) -> list[str]:
        """Switch it on; the recovery codes, which nobody can get again.

        Raises :class:`InvalidInput` ``totp_wrong``, :class:`Conflict` ``totp_not_set_up``.
        """
        user = await self._locked()
        if user.totp_secret is None or user.totp_enabled_at is not None:
            raise Conflict("Set the second factor up first.", code="totp_not_set_up")
        counted = await attempt("totp", address, str(self.user_id))
        if not await self._is_right(user, code):
            raise InvalidInput("The code is wrong.", code="totp_wrong", field="code")
        await counted.succeeded()
        user.totp_enabled_at = utcnow()
        await self.session.flush()
        await forget(self.session, user.id, "recovery_code")
        codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
        for code in codes:
            await issue(self.session, user.id, "recovery_code", token=self._stored(code))
        return codes

    async def disable(self) -> None:
        """Switch it off and forget secret and recovery codes."""
        user = await self._locked()
        user.totp_secret = user.totp_enabled_at = None
        await self.session.flush()
        await forget(self.session, user.id, "recovery_code")

    async def check(self, code: str | None, address: str) -> None:
        """Raise :class:`AuthenticationError` ``totp_required`` or ``totp_wrong`` unless ``code``
        is one of the app's or a recovery code, not used before."""
        if not code:
            raise AuthenticationError(
                "This account has a second factor.",
                code="totp_required",
                hint="Send the code of your authenticator app as totp_code.",
            )
        counted = await attempt("totp", address, str(self.user_id))
        user = await self._user()
        if not await self._is_right(user, code) and not await self._is_recovery(code):
            raise AuthenticationError(
                "The code is wrong or was used before.",
                code="totp_wrong",
                hint="Wait for the next one, or use a recovery code.",
            )
        await counted.succeeded()

    async def _is_right(self, user: User, code: str) -> bool:
        if user.totp_secret is None:
            return False
        opened = EncryptionService().decrypt(
            user.totp_secret, org_id=0, table=_TABLE, row_id=user.id
        )
        totp, now = pyotp.TOTP(opened["secret"]), int(time.time()) // STEP_SECONDS
        given = code.replace(" ", "")
        # A clock may be a step early or late (RFC 6238, section 5.2).
        for step in (now - 1, now, now + 1):
            if secrets.compare_digest(totp.generate_otp(step).encode(), _bytes(given)):
                return await first_use(self.session, f"{user.id}:{step}", "totp_step")
        return False

    async def _is_recovery(self, code: str) -> bool:
        try:
            await use_up(self.session, self._stored(code), "recovery_code")
        except InvalidInput:
            return False
        return True

    def _stored(self, code: str) -> str:
        """A code bound to its user, however it was typed."""
        return f"{self.user_id}:{code.replace('-', '').replace(' ', '').upper()}"

    async def _user(self) -> User:
        user = await self.session.scalar(
            select(User)
            .where(User.id == self.user_id, User.deleted_at.is_(None))
            .options(undefer(User.totp_secret))
            .execution_options(populate_existing=True)
        )
        if user is None:
            raise NotFound("There is no such user.", code="user_not_found")
        return user

    async def _locked(self) -> User:
        await self.session.execute(select(User.id).where(User.id == self.user_id).with_for_update())
        return await self._user()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _recovery_code() -> str:
    """Four groups of four letters and digits."""
    text = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))
