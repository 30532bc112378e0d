"""Going on in another organisation with the same login."""

from __future__ import annotations

from fastapi import APIRouter, Request

from datanika.api.deps import PROBLEMS, SESSION_COOKIE, credential_missing, refuse_cross_site
from datanika.api.transaction import SystemRoute, SystemSession
from datanika.contracts.api import SessionOut, SessionSwitchIn, SwitchIn, TokensOut
from datanika.services.login_sessions import LoginSessions

router = APIRouter(prefix="/auth", tags=["auth"], responses=PROBLEMS, route_class=SystemRoute)


@router.post("/switch")
async def switch_organization(body: SwitchIn, session: SystemSession) -> TokensOut:
    """A refresh whose new tokens are of another of your organisations."""
    pair = await LoginSessions(session).refresh(body.refresh_token, body.org_id)
    return TokensOut.model_validate(pair)


@router.put("/session")
async def switch_session(
    body: SessionSwitchIn, request: Request, session: SystemSession
) -> SessionOut:
    """Go on in another of your organisations with the browser's cookie."""
    token = request.cookies.get(SESSION_COOKIE)
    if token is None:
        raise credential_missing()
    refuse_cross_site(request)
    row = await LoginSessions(session).switch_cookie(token, body.org_id)
    return SessionOut(org_id=row.org_id, expires_at=row.expires_at)
