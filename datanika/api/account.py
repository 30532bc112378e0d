"""A person's own account. No API key may change it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, status

from datanika.api.deps import PROBLEMS, Id, LoginOrigin, page_of
from datanika.api.mails import Mails
from datanika.api.paging import paging
from datanika.api.transaction import PERSON, PersonTx, TenantRoute, needs
from datanika.contracts.api import (
    AcceptedOut,
    AccountOut,
    EmailChangeIn,
    EndedOut,
    IdentityOut,
    LoginSessionOut,
    Page,
    PasswordChangeIn,
    ProfilePatch,
    ProofIn,
    RecoveryCodesOut,
    TotpCodeIn,
    TotpDisableIn,
    TotpSetupOut,
)
from datanika.contracts.enums import Locale
from datanika.models import LoginSession, User
from datanika.services.account import IDENTITY_SORTS, SESSION_SORTS, AccountService
from datanika.services.deployer import cancel_flow_run
from datanika.services.paging import PageRequest

router = APIRouter(prefix="/account", tags=["account"], responses=PROBLEMS, route_class=TenantRoute)
SessionPaging = Annotated[PageRequest, paging(SESSION_SORTS, "-id")]
IdentityPaging = Annotated[PageRequest, paging(IDENTITY_SORTS)]


def _service(tx: PersonTx, origin: LoginOrigin) -> AccountService:
    return AccountService(tx.session, tx.actor, origin.address)


@router.get("", **needs(PERSON))
async def read_account(tx: PersonTx, origin: LoginOrigin) -> AccountOut:
    """You, in every organisation."""
    return _account_out(await _service(tx, origin).user())


@router.patch("", **needs(PERSON))
async def update_account(body: ProfilePatch, tx: PersonTx, origin: LoginOrigin) -> AccountOut:
    """Change your name or language."""
    return _account_out(await _service(tx, origin).change_profile(body.name, body.locale))


@router.post("/password", status_code=status.HTTP_204_NO_CONTENT, **needs(PERSON))
async def change_password(
    body: PasswordChangeIn, tx: PersonTx, origin: LoginOrigin, mails: Mails
) -> None:
    """Choose another password. Every other login of yours ends."""
    service = _service(tx, origin)
    mail = await service.change_password(
        body.current_password, body.new_password, keys_too=body.revoke_keys
    )
    await mails.put(tx.session, mail)


@router.post("/email", status_code=status.HTTP_202_ACCEPTED, **needs(PERSON))
async def change_email(
    body: EmailChangeIn, tx: PersonTx, origin: LoginOrigin, mails: Mails
) -> AcceptedOut:
    """Ask for another address. It counts once the link in the mail to it was opened."""
    mail = await _service(tx, origin).request_email_change(body.email, body.password)
    await mails.put(tx.session, mail)
    return AcceptedOut()


@router.post("/erase", status_code=status.HTTP_204_NO_CONTENT, **needs(PERSON))
async def erase_account(
    body: ProofIn, tx: PersonTx, origin: LoginOrigin, later: BackgroundTasks
) -> None:
    """End your account for good.

    Refused (409 `owner_of_organizations`) while you own an organisation that others are in. One
    where you are alone is deleted.
    """
    for flow_run_id in await _service(tx, origin).erase(body.password):
        later.add_task(cancel_flow_run, flow_run_id)


@router.get("/sessions", **needs(PERSON))
async def list_sessions(
    tx: PersonTx, origin: LoginOrigin, page: SessionPaging
) -> Page[LoginSessionOut]:
    """Your logins that have not ended, newest first."""
    rows = await _service(tx, origin).sessions(page)
    return page_of(rows, lambda row: _session_out(row, tx.actor.session_id))


@router.delete("/sessions", **needs(PERSON))
async def end_other_sessions(tx: PersonTx, origin: LoginOrigin) -> EndedOut:
    """End every login of yours but this one."""
    return EndedOut(ended=await _service(tx, origin).end_other_sessions())


@router.delete("/sessions/{session_id}", status_code=status.HTTP_204_NO_CONTENT, **needs(PERSON))
async def end_session(session_id: Id, tx: PersonTx, origin: LoginOrigin) -> None:
    """End one login; its tokens and its cookie open nothing any more."""
    await _service(tx, origin).end_session(session_id)


@router.post("/totp", **needs(PERSON))
async def set_up_totp(body: ProofIn, tx: PersonTx, origin: LoginOrigin) -> TotpSetupOut:
    """Begin a second factor: give the answer to an authenticator app, then enable it."""
    enrolment = await _service(tx, origin).set_up_totp(body.password)
    return TotpSetupOut(secret=enrolment.secret, otpauth_url=enrolment.url)


@router.post("/totp/enable", **needs(PERSON))
async def enable_totp(body: TotpCodeIn, tx: PersonTx, origin: LoginOrigin) -> RecoveryCodesOut:
    """Switch the second factor on, with a code of the app."""
    return RecoveryCodesOut(recovery_codes=await _service(tx, origin).enable_totp(body.code))


@router.post("/totp/disable", status_code=status.HTTP_204_NO_CONTENT, **needs(PERSON))
async def disable_totp(body: TotpDisableIn, tx: PersonTx, origin: LoginOrigin) -> None:
    """Switch the second factor off, with the password and a code."""
    await _service(tx, origin).disable_totp(body.password, body.code)


@router.get("/identities", **needs(PERSON))
async def list_identities(
    tx: PersonTx, origin: LoginOrigin, page: IdentityPaging
) -> Page[IdentityOut]:
    """The logins at other providers that open your account."""
    return page_of(await _service(tx, origin).identities(page), IdentityOut.model_validate)


@router.delete("/identities/{identity_id}", status_code=status.HTTP_204_NO_CONTENT, **needs(PERSON))
async def unlink_identity(identity_id: Id, tx: PersonTx, origin: LoginOrigin) -> None:
    """From now on that login opens your account no more."""
    await _service(tx, origin).unlink(identity_id)


def _account_out(user: User) -> AccountOut:
    return AccountOut(
        id=user.id,
        email=user.email,
        email_verified=user.email_verified_at is not None,
        name=user.name,
        locale=Locale(user.locale),
        has_password=user.password_hash is not None,
        totp_enabled=user.totp_enabled_at is not None,
        created_at=user.created_at,
    )


def _session_out(row: LoginSession, current: int | None) -> LoginSessionOut:
    return LoginSessionOut(
        id=row.id,
        kind=row.kind,
        method=row.method,
        user_agent=row.user_agent,
        address=row.address,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
        is_current=row.id == current,
    )
