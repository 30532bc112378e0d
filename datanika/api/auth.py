"""Login, tokens, and the browser's session cookie."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.responses import JSONResponse, RedirectResponse

from datanika.api.deps import (
    PROBLEMS,
    SESSION_COOKIE,
    LoginOrigin,
    is_same_origin,
    refuse_cross_site,
)
from datanika.api.forms import form_fields, json_or_form, read_body, set_session_cookie
from datanika.api.transaction import SystemRoute, SystemSession
from datanika.contracts.api import LoginIn, RefreshIn, SessionOut, TokensOut
from datanika.errors import DatanikaError, InvalidInput
from datanika.services.auth import AuthService
from datanika.services.login_sessions import LoginSessions
from datanika.services.validation import local_path

router = APIRouter(prefix="/auth", tags=["auth"], responses=PROBLEMS, route_class=SystemRoute)


@router.post("/login")
async def login(body: LoginIn, session: SystemSession, origin: LoginOrigin) -> TokensOut:
    """An access token and a refresh token for an e-mail address and a password.

    An account with a second factor answers 401 `totp_required`: send `totp_code` as well.
    """
    pair = await AuthService(session, origin).login(
        body.email, body.password, body.org_id, body.totp_code
    )
    return TokensOut.model_validate(pair)


@router.post("/refresh")
async def refresh(body: RefreshIn, session: SystemSession, origin: LoginOrigin) -> TokensOut:
    """New tokens for a refresh token, which is used up. Using one twice ends the login."""
    logins = LoginSessions(session, origin)
    return TokensOut.model_validate(await logins.refresh(body.refresh_token))


@router.post("/logout", status_code=status.HTTP_204_NO_CONTENT)
async def logout(body: RefreshIn, session: SystemSession) -> None:
    """End the login that the refresh token belongs to."""
    await LoginSessions(session).revoke_by_token(body.refresh_token)


async def _login_form(request: Request) -> tuple[LoginIn, str | None]:
    """The login and, for a browser's form, where to go after it."""
    fields = await form_fields(request)
    next_page = None if fields is None else local_path(fields.pop("next", "/"))
    try:
        return await read_body(request, LoginIn, fields), next_page
    except InvalidInput:
        if next_page is None:
            raise
        return LoginIn(email="", password=""), next_page


@router.post(
    "/session",
    response_model=SessionOut,
    openapi_extra=json_or_form(LoginIn),
)
async def open_session(
    request: Request,
    given: Annotated[tuple[LoginIn, str | None], Depends(_login_form)],
    session: SystemSession,
    origin: LoginOrigin,
) -> Response:
    """Log a browser in: an httpOnly cookie. A form is answered with a redirect to ``next``."""
    login_in, next_page = given
    # A browser says where a form was: nobody else's page may log a person in here.
    if request.headers.get("origin") and not is_same_origin(request):
        refuse_cross_site(request)
    try:
        async with session.begin_nested():
            opened = await AuthService(session, origin).create_session(
                login_in.email, login_in.password, login_in.org_id, login_in.totp_code
            )
    except DatanikaError as error:
        if next_page is None:
            raise
        query = urlencode({"error": error.code, "next": next_page})
        return RedirectResponse(f"/login?{query}", status.HTTP_303_SEE_OTHER)
    answer: Response
    if next_page is None:
        content = SessionOut(org_id=opened.org_id, expires_at=opened.expires_at)
        answer = JSONResponse(content.model_dump(mode="json"))
    else:
        answer = RedirectResponse(next_page, status.HTTP_303_SEE_OTHER)
    set_session_cookie(answer, opened)
    return answer


@router.delete("/session", status_code=status.HTTP_204_NO_CONTENT)
async def close_session(request: Request, session: SystemSession) -> Response:
    """Log the browser out."""
    answer = Response(status_code=status.HTTP_204_NO_CONTENT)
    token = request.cookies.get(SESSION_COOKIE)
    if token is not None:
        refuse_cross_site(request)
        await LoginSessions(session).revoke_by_token(token)
        answer.delete_cookie(SESSION_COOKIE, path="/")
    return answer
