"""Who is asking, and the parameters that every list shares."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Path, Query, Request

from datanika.config import settings
from datanika.contracts.api import Page, Problem
from datanika.db import SYSTEM, get_session
from datanika.errors import AuthenticationError, PermissionDenied
from datanika.services.actor import Actor
from datanika.services.auth import AuthService, actor_for_token

SESSION_COOKIE = "datanika_session"
MAX_ID = 2**63 - 1
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DEV_ORIGINS = frozenset({"http://localhost:3000", "http://127.0.0.1:3000"})


def bearer_token(request: Request) -> str | None:
    """The token of ``Authorization: Bearer …``, or None."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def is_same_origin(request: Request) -> bool:
    """Whether a browser sent this from a page of ours.

    Fetch metadata says so where the browser sends it (https://www.w3.org/TR/fetch-metadata/),
    else the Origin header must be this host's or the public URL's.
    """
    given = request.headers.get("origin", "")
    # `reflex run` serves the pages from its own port, and says so in the environment.
    if given in DEV_ORIGINS and os.environ.get("REFLEX_ENV_MODE") == "dev":
        return True
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(given)
    known = {request.headers.get("host"), urlsplit(settings.public_url).netloc}
    return bool(origin.netloc) and origin.netloc in known


def refuse_cross_site(request: Request) -> None:
    """Raise :class:`PermissionDenied` unless the request came from a page of ours."""
    if not is_same_origin(request):
        raise PermissionDenied(
            "A browser session may change things only from Datanika's own pages.",
            code="csrf_refused",
            hint="Programs should send an API key: Authorization: Bearer dnk_…",
        )


async def current_actor(request: Request) -> Actor:
    """Who sent the request: a bearer token or API key, else a browser's session cookie."""
    token = bearer_token(request)
    cookie = request.cookies.get(SESSION_COOKIE)
    if token is None and cookie is None:
        raise AuthenticationError(
            "This needs a login.",
            hint="Send Authorization: Bearer <access token or API key>.",
        )
    async with get_session(SYSTEM) as session:
        if token is not None:
            return await actor_for_token(session, token)
        if request.method not in SAFE_METHODS:
            refuse_cross_site(request)
        return await AuthService(session).actor_for_session(cookie or "")


Caller = Annotated[Actor, Depends(current_actor)]
Id = Annotated[int, Path(ge=1, le=MAX_ID)]
Cursor = Annotated[int, Query(ge=0, le=MAX_ID, description="`next_cursor` of the page before.")]
Before = Annotated[
    int | None,
    Query(alias="cursor", ge=1, le=MAX_ID, description="`next_cursor` of the page before"),
]
Limit = Annotated[int, Query(ge=1, le=500, description="Items on a page.")]

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        401: "No or a wrong credential.",
        403: "The role or key does not allow this.",
        404: "There is no such thing in this organisation.",
        409: "It collides with what exists.",
        422: "The input is not valid; `field` says where.",
    }.items()
}


def make_page[Row, Item](
    rows: Sequence[Row], limit: int, convert: Callable[[Row], Item]
) -> Page[Item]:
    """A page of ``rows``, which were asked for with one more than ``limit``."""
    shown = rows[:limit]
    more = len(rows) > limit
    cursor = str(shown[-1].id) if more else None  # type: ignore[attr-defined]
    return Page(items=[convert(row) for row in shown], next_cursor=cursor)
