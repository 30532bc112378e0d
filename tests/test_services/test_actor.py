"""The proof that somebody may act in an organisation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.errors import AuthenticationError, PermissionDenied
from datanika.services.actor import Actor, prove_membership
from tests.support.tenants import add_member, make_tenant

pytestmark = pytest.mark.usefixtures("database")


def test_an_actor_cannot_be_made_up() -> None:
    with pytest.raises(TypeError, match="prove_membership"):
        Actor(1, 1, "a@example.com", Role.OWNER)


async def test_a_members_role_is_read_when_asked() -> None:
    tenant = await make_tenant()
    editor = await add_member(tenant.org_id, Role.EDITOR)
    async with get_session(tenant.owner.scope) as session:
        proven = await prove_membership(
            session, editor.user_id, tenant.org_id, login_session_id=editor.session_id
        )
        assert proven == editor
        assert editor.may("pipeline:write") and not editor.may("pipeline:delete")
        with pytest.raises(PermissionDenied, match="pipeline:delete") as refused:
            editor.require("pipeline:delete")
        assert "admin" in (refused.value.hint or "")


async def test_scopes_only_take_away() -> None:
    tenant = await make_tenant()
    limited = replace(tenant.owner, scopes=frozenset({"run:read"}))
    assert limited.may("run:read") and not limited.may("run:trigger")


@pytest.mark.parametrize(
    "table",
    ["memberships WHERE user_id = {0}", "users WHERE id = {0}", "organizations WHERE id = {1}"],
)
async def test_what_is_deleted_proves_nothing(table: str) -> None:
    tenant = await make_tenant()
    name, _, where = table.partition(" WHERE ")
    where = where.format(tenant.owner.user_id, tenant.org_id)
    async with get_session(SYSTEM) as session:
        await session.execute(text(f"UPDATE {name} SET deleted_at = now() WHERE {where}"))
        with pytest.raises(AuthenticationError) as refused:
            await prove_membership(session, tenant.owner.user_id, tenant.org_id)
    assert refused.value.code == "not_a_member"


async def test_a_member_of_one_organisation_is_nobody_in_another() -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    async with get_session(SYSTEM) as session:
        with pytest.raises(AuthenticationError):
            await prove_membership(session, ours.owner.user_id, theirs.org_id)
