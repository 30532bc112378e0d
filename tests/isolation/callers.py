"""Who calls a route: clients, and the bearers of everybody there is."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika import security
from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.models import ApiKey, Membership
from datanika.services.actor import Actor
from datanika.services.login_sessions import LoginSessions
from datanika.services.permissions import PERMISSIONS
from tests.isolation.world import World, login
from tests.support.application import application
from tests.support.tenants import access_token


def client(bearer: str | None = None) -> httpx.AsyncClient:
    """The application in this process."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(application()),
        base_url="http://datanika.test",
        headers={"Authorization": f"Bearer {bearer}"} if bearer else {},
    )


def member_bearer(world: World, role: Role) -> str:
    """An access token of a member with ``role``."""
    return access_token(world.members[role])


async def key_bearer(world: World, scopes: list[str], creator: Actor | None = None) -> str:
    """A new API key of ``creator``, the owner if not given."""
    key = security.new_api_key()
    async with get_session(SYSTEM) as session:
        session.add(
            ApiKey(
                org_id=world.org_id, user_id=(creator or world.owner).user_id, name="case",
                prefix=key[:10], key_hash=security.hash_token(key), scopes=scopes,
            )
        )  # fmt: skip
    return key


async def lost_role_bearer(world: World, permission: str | None, least: Role | None) -> str:
    """A key whose maker fell below ``least``: out of the organisation where that is viewer."""
    maker = world.members[Role.ADMIN]
    below = {role.rank: role for role in Role}.get(least.rank - 1) if least else None
    async with get_session(SYSTEM) as session:
        membership = await session.get_one(Membership, await _membership(session, maker))
        if below is None:
            membership.deleted_at = utcnow()
        else:
            membership.role = below.value
    return await key_bearer(world, [permission or "run:read"], maker)


async def _membership(session: AsyncSession, actor: Actor) -> int:
    found = await session.scalar(select(Membership.id).where(Membership.user_id == actor.user_id))
    assert found is not None
    return found


async def logged_out_bearer(world: World) -> str:
    """The owner's access token of a login that has ended."""
    tokens = await login(world.owner)
    async with get_session(SYSTEM) as session:
        await LoginSessions(session).revoke_by_token(tokens.refresh_token)
    return tokens.access_token


def expired_bearer(world: World) -> str:
    """The owner's access token, a minute too old."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "access_token_minutes", -1)
        return access_token(world.owner)


def other_scope(permission: str | None) -> str:
    """A permission that every role has and the route does not ask for."""
    return next(
        name for name, least in PERMISSIONS.items() if least is Role.VIEWER and name != permission
    )
