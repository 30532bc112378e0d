"""Registration, login, tokens, and the browser's session cookie."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import ValidationError

from datanika.api.deps import (
    PROBLEMS,
    SESSION_COOKIE,
    LoginOrigin,
    is_same_origin,
    refuse_cross_site,
)
from datanika.api.problems import invalid_request
from datanika.api.transaction import SystemRoute, SystemSession
from datanika.config import settings
from datanika.contracts.api import (
    LoginIn,
    RefreshIn,
    RegisteredOut,
    RegisterIn,
    SessionOut,
    TokensOut,
)
from datanika.contracts.events import utcnow
from datanika.errors import DatanikaError
from datanika.services.auth import AuthService
from datanika.services.login_sessions import BrowserSession, LoginSessions

router = APIRouter(prefix="/auth", tags=["auth"], responses=PROBLEMS, route_class=SystemRoute)


@router.post("/register", status_code=status.HTTP_201_CREATED)
async def register(body: RegisterIn, session: SystemSession) -> RegisteredOut:
    """Make a user and the organisation they own."""
    user, organization = await AuthService(session).register(
        body.email, body.password, body.name, body.organization_name
    )
    return RegisteredOut(user_id=user.id, org_id=organization.id)


@router.post("/login")
async def login(body: LoginIn, session: SystemSession, origin: LoginOrigin) -> TokensOut:
    """An access token and a refresh token for an e-mail address and a password."""
    pair = await AuthService(session, origin).login(body.email, body.password, body.org_id)
    return TokensOut.model_validate(pair)


@router.post("/refresh")
async def refresh(body: RefreshIn, session: SystemSession) -> TokensOut:
    """New tokens for a refresh token, which is used up. Using one twice ends the login."""
    return TokensOut.model_validate(await LoginSessions(session).refresh(body.refresh_token))


@router.post("/logout", status_code=status.HTTP_204_NO_CONTENT)
async def logout(body: RefreshIn, session: SystemSession) -> None:
    """End the login that the refresh token belongs to."""
    await LoginSessions(session).revoke_by_token(body.refresh_token)


async def _login_form(request: Request) -> tuple[LoginIn, str | None]:
    """The login and, for a browser's form, where to go after it."""
    next_page = None
    try:
        if request.headers.get("content-type", "").startswith("application/json"):
            return LoginIn.model_validate_json(await request.body()), None
        fields: dict[str, Any] = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        next_page = _local_path(fields.pop("next", "/"))
        return LoginIn.model_validate(fields), next_page
    except ValidationError as error:
        if next_page is not None:
            return LoginIn(email="", password=""), next_page
        raise invalid_request(error.errors(include_input=False)) from None


@router.post(
    "/session",
    response_model=SessionOut,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": LoginIn.model_json_schema()}
                for kind in ("application/json", "application/x-www-form-urlencoded")
            },
        }
    },
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
        opened = await AuthService(session, origin).create_session(
            login_in.email, login_in.password, login_in.org_id
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
    _set_cookie(answer, opened)
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


def _set_cookie(answer: Response, opened: BrowserSession) -> None:
    answer.set_cookie(
        SESSION_COOKIE,
        opened.token,
        max_age=max(0, int((opened.expires_at - utcnow()).total_seconds())),
        path="/",
        httponly=True,
        samesite="lax",
        secure=settings.public_url.startswith("https://"),
    )


def _local_path(path: str) -> str:
    """``path`` if it stays on this site, else the first page."""
    stays = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if stays and path.isprintable() else "/"
