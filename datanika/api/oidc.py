"""Login with Google, GitHub or another OpenID provider, in a browser.

What the two halves of a login share is in a cookie that only this browser has, encrypted.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.responses import RedirectResponse

from datanika.api.deps import PROBLEMS, SESSION_COOKIE, LoginOrigin
from datanika.api.forms import set_session_cookie
from datanika.api.transaction import PERSON, PersonTx, StrangerRoute, TenantRoute, needs
from datanika.config import settings
from datanika.contracts.api import LinkStartedOut, Page, ProviderOut
from datanika.db import SYSTEM, get_session
from datanika.errors import AuthenticationError, DatanikaError
from datanika.i18n import negotiate
from datanika.security import pkce_pair
from datanika.services.external_login import STATE_LIFETIME, ExternalLogin, PendingLogin, resume
from datanika.services.login_sessions import LoginSessions, Origin
from datanika.services.openid import Identity, provider_called, provider_failed, providers
from datanika.services.validation import local_path

STATE_COOKIE = "datanika_login"
PATH = "/api/v1/auth/oidc"

router = APIRouter(prefix="/auth", tags=["auth"], responses=PROBLEMS, route_class=StrangerRoute)
links = APIRouter(prefix="/account", tags=["account"], responses=PROBLEMS, route_class=TenantRoute)


@router.get("/providers")
async def list_login_providers() -> Page[ProviderOut]:
    """Whose logins open this installation."""
    return Page(
        items=[
            ProviderOut(name=one.name, label=one.label, start_url=f"{PATH}/{one.name}/start")
            for one in providers()
        ]
    )


@router.get(
    "/oidc/{provider}/start",
    status_code=status.HTTP_303_SEE_OTHER,
    response_class=RedirectResponse,
)
async def start_provider_login(
    provider: str, next_page: Annotated[str, Query(alias="next", max_length=2000)] = "/"
) -> Response:
    """Send the browser to the provider."""
    url, pending = await _begin(provider, local_path(next_page), None)
    answer = RedirectResponse(url, status.HTTP_303_SEE_OTHER)
    _keep(answer, pending)
    return answer


@router.get(
    "/oidc/{provider}/callback",
    status_code=status.HTTP_303_SEE_OTHER,
    response_class=RedirectResponse,
)
async def finish_provider_login(
    provider: str,
    request: Request,
    origin: LoginOrigin,
    state: Annotated[str, Query(max_length=1000)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
) -> Response:
    """Where the provider sends the browser back to: it gets its session cookie, or an error."""
    chosen = provider_called(provider)
    try:
        pending = await resume(request.cookies.get(STATE_COOKIE), provider, state, origin.address)
        if not code:
            raise provider_failed("The provider did not let you in.")
        # No transaction is open while the provider is asked.
        identity = await chosen.identify(pending.flow(_callback_url(provider)), code)
        answer: Response = RedirectResponse(pending.next_page, status.HTTP_303_SEE_OTHER)
        await _enter(request, answer, pending, identity, origin)
    except DatanikaError as error:
        query = urlencode({"error": error.code})
        answer = RedirectResponse(f"/login?{query}", status.HTTP_303_SEE_OTHER)
    answer.delete_cookie(STATE_COOKIE, path=PATH)
    return answer


@links.post("/providers/{provider}/link", **needs(PERSON))
async def link_identity(
    provider: str,
    response: Response,
    tx: PersonTx,
    next_page: Annotated[str, Query(alias="next", max_length=2000)] = "/",
) -> LinkStartedOut:
    """Begin to link a login at a provider to your account; go on in this browser."""
    url, pending = await _begin(provider, local_path(next_page), tx.actor.user_id)
    _keep(response, pending)
    return LinkStartedOut(authorization_url=url)


async def _begin(provider: str, next_page: str, user_id: int | None) -> tuple[str, PendingLogin]:
    chosen = provider_called(provider)
    verifier, challenge = pkce_pair()
    pending = PendingLogin.begin(provider, verifier, next_page, user_id)
    flow = pending.flow(_callback_url(provider))
    return await chosen.authorization_url(flow, pending.state, challenge), pending


async def _enter(
    request: Request, answer: Response, pending: PendingLogin, identity: Identity, origin: Origin
) -> None:
    async with get_session(SYSTEM) as session:
        login = ExternalLogin(session, pending.provider, origin)
        if pending.user_id is None:
            locale = negotiate(request.headers.get("accept-language", ""))
            set_session_cookie(answer, await login.enter(identity, locale))
            return
        actor = await LoginSessions(session).actor_of_cookie(
            request.cookies.get(SESSION_COOKIE, "")
        )
        if actor.user_id != pending.user_id:
            raise AuthenticationError("Somebody else is logged in now.", code="state_invalid")
        await login.link(identity, actor.user_id)


def _keep(answer: Response, pending: PendingLogin) -> None:
    answer.set_cookie(
        STATE_COOKIE,
        pending.sealed(),
        max_age=int(STATE_LIFETIME.total_seconds()),
        path=PATH,
        httponly=True,
        # The provider's redirect is a navigation from another site.
        samesite="lax",
        secure=settings.public_url.startswith("https://"),
    )


def _callback_url(provider: str) -> str:
    return f"{settings.public_url.rstrip('/')}{PATH}/{provider}/callback"
