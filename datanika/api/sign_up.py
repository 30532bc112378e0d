"""Sign-up, confirmation of addresses, forgotten passwords: for those who are not logged in.

The answers are the same whether an address has an account or not. The UI's pages post forms here
and are sent on to the next page; programs post JSON.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, status

from datanika.api.deps import PROBLEMS, LoginOrigin
from datanika.api.forms import answer_form, json_or_form
from datanika.api.mails import Mails
from datanika.api.transaction import SystemRoute, SystemSession
from datanika.config import settings
from datanika.contracts.api import (
    AcceptedOut,
    EmailIn,
    NewPasswordIn,
    RegisteredOut,
    RegisterIn,
    TokenIn,
)
from datanika.i18n import negotiate
from datanika.services.sign_up import CONFIRM_PAGE, FORGOT_PAGE, RESET_PAGE, SIGN_UP_PAGE, SignUp

router = APIRouter(prefix="/auth", tags=["auth"], responses=PROBLEMS, route_class=SystemRoute)


@router.post(
    "/register",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=RegisteredOut,
    openapi_extra=json_or_form(RegisterIn),
)
async def register(
    request: Request, session: SystemSession, origin: LoginOrigin, mails: Mails
) -> Response:
    """Make a user and the organisation they own.

    An address that has an account already gets the same answer, and a mail that says so.
    """

    async def make(body: RegisterIn) -> RegisteredOut:
        locale = body.locale or negotiate(request.headers.get("accept-language", ""))
        mail = await SignUp(session, origin).register(
            body.email, body.password, body.name, body.organization_name, locale
        )
        await mails.put(session, mail)
        return RegisteredOut(must_confirm_email=settings.needs_verified_email)

    notice = "registered_confirm" if settings.needs_verified_email else "registered"
    return await answer_form(
        request,
        session,
        RegisterIn,
        make,
        success=status.HTTP_202_ACCEPTED,
        done=f"/login?notice={notice}",
        failed=SIGN_UP_PAGE,
    )


@router.post("/email-confirmation", status_code=status.HTTP_202_ACCEPTED)
async def resend_confirmation(
    body: EmailIn, session: SystemSession, origin: LoginOrigin, mails: Mails
) -> AcceptedOut:
    """Send the mail with the link that confirms an address once more."""
    await mails.put(session, await SignUp(session, origin).resend_confirmation(body.email))
    return AcceptedOut()


@router.post(
    "/email-confirmation/confirm",
    status_code=status.HTTP_204_NO_CONTENT,
    openapi_extra=json_or_form(TokenIn),
)
async def confirm_email(
    request: Request, session: SystemSession, origin: LoginOrigin, mails: Mails
) -> Response:
    """Confirm an address with the token of the mail: a new user's, or a changed one."""

    async def confirm(body: TokenIn) -> None:
        await mails.put(session, *await SignUp(session, origin).confirm(body.token))

    return await answer_form(
        request,
        session,
        TokenIn,
        confirm,
        success=status.HTTP_204_NO_CONTENT,
        done="/login?notice=email_confirmed",
        failed=CONFIRM_PAGE,
    )


@router.post(
    "/password-reset",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=AcceptedOut,
    openapi_extra=json_or_form(EmailIn),
)
async def request_password_reset(
    request: Request, session: SystemSession, origin: LoginOrigin, mails: Mails
) -> Response:
    """Send a link to choose a new password. It works once, for one hour."""

    async def send(body: EmailIn) -> AcceptedOut:
        await mails.put(session, await SignUp(session, origin).request_reset(body.email))
        return AcceptedOut()

    return await answer_form(
        request,
        session,
        EmailIn,
        send,
        success=status.HTTP_202_ACCEPTED,
        done="/login?notice=reset_sent",
        failed=FORGOT_PAGE,
    )


@router.post(
    "/password-reset/confirm",
    status_code=status.HTTP_204_NO_CONTENT,
    openapi_extra=json_or_form(NewPasswordIn),
)
async def reset_password(
    request: Request, session: SystemSession, origin: LoginOrigin, mails: Mails
) -> Response:
    """Choose a new password with the token of the mail. Every login ends."""

    async def reset(body: NewPasswordIn) -> None:
        sign_up = SignUp(session, origin)
        mail = await sign_up.reset_password(body.token, body.password, keys_too=body.revoke_keys)
        await mails.put(session, mail)

    return await answer_form(
        request,
        session,
        NewPasswordIn,
        reset,
        success=status.HTTP_204_NO_CONTENT,
        done="/login?notice=password_changed",
        failed=RESET_PAGE,
    )
