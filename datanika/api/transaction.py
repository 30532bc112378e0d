"""One request is one transaction: proven, permitted, done, and committed before it is answered.

A router with ``route_class=TenantRoute`` serves people and keys of an organisation. Each of its
routes says what it needs (``**needs("pipeline:read")``): the edge refuses whoever lacks it before
the body is read, and the services check again. ``SystemRoute`` is for those who are not logged in.
Both replay the answer of a POST whose ``Idempotency-Key`` was seen before. ``ActorRoute`` is for
the few that wait, and must not hold a transaction meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.api.deps import SESSION_COOKIE, bearer_token, credential_missing, refuse_cross_site
from datanika.api.problems import EXTRA_HEADERS
from datanika.api.rate_limit import RateLimiter
from datanika.config import settings
from datanika.db import SYSTEM, TenantScope, enter, get_session, system_scope
from datanika.security import API_KEY_PREFIX, read_access_token
from datanika.services.actor import (
    NOWHERE,
    Actor,
    prove_membership,
    prove_person,
    require_person,
)
from datanika.services.auth import actor_for_token
from datanika.services.idempotency_service import IdempotencyService, KeptAnswer
from datanika.services.login_sessions import LoginSessions
from datanika.services.permissions import PERMISSIONS

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MEMBER = "member"
"""The permission of routes that every member and every key may use, about themselves."""
PERSON = "person"
"""The permission of routes where people change their own account: no key may."""
PERMISSION = "x-permission"
_KEPT_HEADERS = ("content-type", "etag", "location")
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]

tenants = RateLimiter(settings.api_requests_per_minute)
strangers = RateLimiter(settings.anonymous_requests_per_minute)


class Versioned(Protocol):
    """An answer about a thing that can be changed."""

    @property
    def revision(self) -> int: ...


@dataclass(slots=True)
class Transaction:
    """The session of the request's transaction, in the scope of its actor's organisation."""

    session: AsyncSession
    actor: Actor
    headers: dict[str, str] = field(default_factory=dict)

    def tagged[Answer: Versioned](self, answer: Answer) -> Answer:
        """``answer``, with its revision as the ETag that a change must name in ``If-Match``."""
        self.headers["ETag"] = f'"{answer.revision}"'
        return answer


def needs(permission: str) -> dict[str, Any]:
    """What a route of a :class:`TenantRoute` router asks of its caller; keywords of the route."""
    if permission not in (MEMBER, PERSON) and permission not in PERMISSIONS:
        raise ValueError(f"There is no permission {permission!r}.")
    return {"openapi_extra": {PERMISSION: permission, "security": [{"bearer": []}]}}


class TenantRoute(APIRoute):
    """A route whose handler takes a :data:`Tx`."""

    def get_route_handler(self) -> _Handler:
        handle = super().get_route_handler()
        permission = (self.openapi_extra or {})[PERMISSION]
        repeatable = "POST" in (self.methods or ())

        async def tagged(request: Request) -> Response:
            response = await handle(request)
            response.headers.update(request.state.transaction.headers)
            return response

        async def answer(request: Request) -> Response:
            async with tenant_transaction(request) as transaction:
                actor = transaction.actor
                _admit(actor, permission)
                request.state.transaction = transaction
                work: _Handler = tagged
                if repeatable:
                    work = _once(tagged, transaction.session, actor)
                return await work(request)

        return answer


class ActorRoute(APIRoute):
    """A route whose handler takes a :data:`Caller` and opens transactions of its own, because it
    waits between them."""

    def get_route_handler(self) -> _Handler:
        handle = super().get_route_handler()
        permission = (self.openapi_extra or {})[PERMISSION]

        async def answer(request: Request) -> Response:
            async with tenant_transaction(request) as transaction:
                _admit(transaction.actor, permission)
                request.state.actor = transaction.actor
            return await handle(request)

        return answer


class SystemRoute(APIRoute):
    """A route for those who are not logged in: its handler takes a :data:`SystemSession`."""

    def get_route_handler(self) -> _Handler:
        handle = super().get_route_handler()
        repeatable = "POST" in (self.methods or ())

        async def answer(request: Request) -> Response:
            address = request.client.host if request.client else ""
            request.scope[EXTRA_HEADERS] = strangers.take(address)
            async with get_session(SYSTEM) as session:
                request.state.session = session
                work = _once(handle, session, None) if repeatable else handle
                return await work(request)

        return answer


class StrangerRoute(APIRoute):
    """A route for those who are not logged in that talks to others before it opens a session."""

    def get_route_handler(self) -> _Handler:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            address = request.client.host if request.client else ""
            request.scope[EXTRA_HEADERS] = strangers.take(address)
            return await handle(request)

        return answer


def _admit(actor: Actor, permission: str) -> None:
    if permission == PERSON:
        require_person(actor)
    elif permission != MEMBER:
        actor.require(permission)


async def _of_request(request: Request) -> Transaction:
    transaction: Transaction = request.state.transaction
    return transaction


async def _system_session(request: Request) -> AsyncSession:
    session: AsyncSession = request.state.session
    return session


async def _actor_of_request(request: Request) -> Actor:
    actor: Actor = request.state.actor
    return actor


Tx = Annotated[Transaction, Depends(_of_request)]
Caller = Annotated[Actor, Depends(_actor_of_request)]


async def _about_oneself(request: Request) -> Transaction:
    transaction: Transaction = request.state.transaction
    # What logs people in is hidden from the role of the organisation's scope.
    await enter(transaction.session, SYSTEM)
    return transaction


SystemSession = Annotated[AsyncSession, Depends(_system_session)]
PersonTx = Annotated[Transaction, Depends(_about_oneself)]
"""The transaction of a :data:`PERSON` route, in system scope after the sender was proven."""


@asynccontextmanager
async def tenant_transaction(request: Request) -> AsyncIterator[Transaction]:
    """The transaction of whoever sent ``request``; raises :class:`AuthenticationError`."""
    bearer = bearer_token(request)
    if bearer is not None and not bearer.startswith(API_KEY_PREFIX):
        token = read_access_token(bearer)
        if token.org_id == NOWHERE:
            async with get_session(SYSTEM) as session:
                actor = await prove_person(session, token.user_id, token.session_id)
                await enter(session, actor.scope)
                yield _limited(request, Transaction(session, actor))
            return
        # The token names the organisation: its rows are enough to prove the membership.
        async with get_session(TenantScope(token.org_id)) as session:
            actor = await prove_membership(
                session, token.user_id, token.org_id, login_session_id=token.session_id
            )
            yield _limited(request, Transaction(session, actor))
        return
    async with get_session(SYSTEM) as session:
        if bearer is not None:
            actor = await actor_for_token(session, bearer)
        else:
            actor = await actor_of_cookie(request, session)
        await enter(session, actor.scope)
        yield _limited(request, Transaction(session, actor))


async def actor_of_cookie(request: Request, session: AsyncSession) -> Actor:
    """The actor of a browser's session; it may change things from our own pages only."""
    cookie = request.cookies.get(SESSION_COOKIE)
    if cookie is None:
        raise credential_missing()
    if request.method not in SAFE_METHODS:
        refuse_cross_site(request)
    return await LoginSessions(session).actor_of_cookie(cookie)


def caller_of(actor: Actor) -> str:
    """A name for whoever sends requests: a key is not the person who made it."""
    if actor.api_key_id is not None:
        return f"key:{actor.api_key_id}"
    return f"user:{actor.user_id}:{actor.org_id}"


def _limited(request: Request, transaction: Transaction) -> Transaction:
    request.scope[EXTRA_HEADERS] = tenants.take(caller_of(transaction.actor))
    return transaction


def _once(handle: _Handler, session: AsyncSession, actor: Actor | None) -> _Handler:
    """``handle``, or the answer it gave to the same ``Idempotency-Key``."""
    owner = caller_of(actor) if actor else "nobody"
    org_id = actor.org_id if actor and actor.is_member else None

    async def answer(request: Request) -> Response:
        key = request.headers.get("idempotency-key")
        if key is None:
            return await handle(request)
        body = await request.body()
        keys = IdempotencyService(session, owner, org_id)
        route = f"{request.method} {request.url.path}"
        if actor is None:
            # Nobody's keys: only who knows the whole request, password included, gets its answer.
            route += f" {body.hex()}"
        async with _keys_of(session, actor):
            kept = await keys.claim(route, key, body)
        if kept is not None:
            headers = kept.headers | {"Idempotency-Replayed": "true"}
            return Response(kept.body, kept.status, headers)
        response = await handle(request)
        headers = {
            name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers
        }
        async with _keys_of(session, actor):
            await keys.keep(KeptAnswer(response.status_code, headers, bytes(response.body)))
        return response

    return answer


def _keys_of(session: AsyncSession, actor: Actor | None) -> AbstractAsyncContextManager[None]:
    """The scope that sees the caller's kept answers: those of who is in no organisation are in no
    organisation's."""
    if actor is None or actor.is_member:
        return nullcontext()
    return system_scope(session, actor.scope)
