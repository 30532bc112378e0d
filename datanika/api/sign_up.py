"""Sign-up, confirmation of addresses, forgotten passwords: for those who are not logged in.

The answers are the same whether an address has an account or not. The UI's pages post forms here
and are sent on to the next page; programs post JSON.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response, status
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.api.deps import PROBLEMS, LoginOrigin
from datanika.api.forms import form_fields, json_or_form, read_body
from datanika.api.mails import Mails, Outbox
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
from datanika.errors import DatanikaError
from datanika.i18n import negotiate
from datanika.services.mail import Mail
from datanika.services.sign_up import CONFIRM_PAGE, FORGOT_PAGE, RESET_PAGE, SignUp

router = APIRouter(prefix="/auth", tags=["auth"], responses=PROBLEMS, route_class=SystemRoute)


@router.post("/register", status_code=status.HTTP_202_ACCEPTED)
async def register(
    body: RegisterIn, request: Request, session: SystemSession, origin: LoginOrigin, mails: Mails
) -> RegisteredOut:
    """Make a user and the organisation they own.

    An address that has an account already gets the same answer, and a mail that says so.
    """
    locale = body.locale or negotiate(request.headers.get("accept-language", ""))
    mail = await SignUp(session, origin).register(
        body.email, body.password, body.name, body.organization_name, locale
    )
    await mails.put(session, mail)
    return RegisteredOut(must_confirm_email=settings.needs_verified_email)


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

    async def confirm(body: TokenIn) -> Sequence[Mail]:
        return await SignUp(session, origin).confirm(body.token)

    return await _answer(
        request, session, mails, TokenIn, confirm, page=CONFIRM_PAGE, notice="email_confirmed"
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

    async def send(body: EmailIn) -> Sequence[Mail | None]:
        return [await SignUp(session, origin).request_reset(body.email)]

    answer = await _answer(
        request, session, mails, EmailIn, send, page=FORGOT_PAGE, notice="reset_sent"
    )
    if isinstance(answer, RedirectResponse):
        return answer
    return JSONResponse(AcceptedOut().model_dump(), status.HTTP_202_ACCEPTED)


@router.post(
    "/password-reset/confirm",
    status_code=status.HTTP_204_NO_CONTENT,
    openapi_extra=json_or_form(NewPasswordIn),
)
async def reset_password(
    request: Request, session: SystemSession, origin: LoginOrigin, mails: Mails
) -> Response:
    """Choose a new password with the token of the mail. Every login ends."""

    async def reset(body: NewPasswordIn) -> Sequence[Mail]:
        sign_up = SignUp(session, origin)
        return [await sign_up.reset_password(body.token, body.password, keys_too=body.revoke_keys)]

    return await _answer(
        request, session, mails, NewPasswordIn, reset, page=RESET_PAGE, notice="password_changed"
    )


async def _answer[Body: BaseModel](
    request: Request,
    session: AsyncSession,
    mails: Outbox,
    model: type[Body],
    work: Callable[[Body], Awaitable[Sequence[Mail | None]]],
    *,
    page: str,
    notice: str,
) -> Response:
    """Do ``work``. A form is sent to the login page with ``notice``, or back to ``page`` with the
    code of what was wrong."""
    fields = await form_fields(request)
    try:
        body = await read_body(request, model, fields)
        async with session.begin_nested():
            await mails.put(session, *await work(body))
    except DatanikaError as error:
        if fields is None:
            raise
        kept = {"token": fields["token"]} if "token" in fields else {}
        query = urlencode(kept | {"error": error.code})
        return RedirectResponse(f"{page}?{query}", status.HTTP_303_SEE_OTHER)
    if fields is None:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return RedirectResponse(f"/login?notice={notice}", status.HTTP_303_SEE_OTHER)
