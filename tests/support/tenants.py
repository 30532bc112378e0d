"""Organisations and people for tests, made the way registration makes them but without bcrypt."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.models import Membership, Organization, User
from datanika.security import create_access_token
from datanika.services.actor import Actor, prove_membership
from datanika.services.login_sessions import LoginSessions


@dataclass(frozen=True)
class Tenant:
    """An organisation and its owner."""

    org_id: int
    owner: Actor


async def make_tenant(name: str = "Acme") -> Tenant:
    """A new organisation with an owner who cannot log in."""
    async with get_session(SYSTEM) as session:
        organization = Organization(name=name, slug=f"org-{secrets.token_hex(6)}")
        session.add(organization)
        await session.flush()
    return Tenant(organization.id, await add_member(organization.id, Role.OWNER))


async def add_member(org_id: int, role: Role) -> Actor:
    """A new user with ``role`` in the organisation."""
    async with get_session(SYSTEM) as session:
        user = User(email=f"{role}-{secrets.token_hex(6)}@example.com", name=str(role))
        session.add(user)
        await session.flush()
        session.add(Membership(org_id=org_id, user_id=user.id, role=role))
        await session.flush()
        login = await LoginSessions(session).open(user.id, "refresh", "password")
        return await prove_membership(session, user.id, org_id, login_session_id=login.id)


def access_token(actor: Actor) -> str:
    """What the actor's login would send as its bearer token."""
    assert actor.session_id is not None
    return create_access_token(actor.user_id, actor.org_id, actor.session_id)
