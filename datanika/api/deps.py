"""Who is asking, and the parameters that every list shares."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Header, Path, Query, Request
from pydantic import TypeAdapter

from datanika.config import settings
from datanika.contracts.api import Page, Problem
from datanika.contracts.text import MAX_ID as MAX_ID
from datanika.contracts.text import Line
from datanika.errors import AuthenticationError, PermissionDenied
from datanika.services.login_sessions import Origin
from datanika.services.paging import RowPage

SESSION_COOKIE = "datanika_session"
_ETAG = re.compile(r'"([0-9]{1,18})"')
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


def credential_missing() -> AuthenticationError:
    """For a request that says nothing about who sends it."""
    return AuthenticationError(
        "This needs a login.",
        hint="Send Authorization: Bearer <access token or API key>.",
    )


async def login_origin(request: Request) -> Origin:
    """Where a login comes from, for the list of sessions."""
    address = request.client.host if request.client else ""
    return Origin(request.headers.get("user-agent", ""), address)


LoginOrigin = Annotated[Origin, Depends(login_origin)]
Id = Annotated[int, Path(ge=1, le=MAX_ID)]
Named = Annotated[Line | None, Query(max_length=200, description="Only the one called so.")]
Search = Annotated[Line | None, Query(max_length=200, description="A part of the name.")]

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


async def read_if_match(
    if_match: Annotated[
        str,
        Header(
            description="The `ETag` of what you read: the change is refused (412) if somebody else "
            "changed it since. `*` changes it whatever it is now.",
            examples=['"3"'],
        ),
    ],
) -> int | None:
    """The revision that a change is based on; None for ``*``.

    A tag of another shape matches nothing (RFC 9110, section 13.1.1).
    """
    if if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    return int(found[1]) if found else -1


IfMatch = Annotated[int | None, Depends(read_if_match)]


def page_of[Item](page: RowPage[Any], item: type[Item] | Callable[[Any], Item]) -> Page[Item]:
    """A page of a list as the API answers it.

    ``item`` makes an answer of a row; a model whose fields the columns are makes all at once.
    """
    if isinstance(item, type):
        items = _list_of(item).validate_python(page.records())
    else:
        items = [item(row) for row in page.rows]
    return Page.model_construct(items=items, next_cursor=page.next_cursor)


@cache
def _list_of[Item](item: type[Item]) -> TypeAdapter[list[Item]]:
    return TypeAdapter(list[item])  # type: ignore[valid-type]
