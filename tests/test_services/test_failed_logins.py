"""Failed logins end in the audit logs of who was tried, and nobody can fill a log with them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select, update

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.errors import AuthenticationError
from datanika.models import AuditLog, Membership, Throttle, UserToken
from datanika.services import failed_logins
from datanika.services.audit_service import verify
from datanika.services.auth import AuthService
from datanika.services.failed_logins import note_failure, record_failures
from datanika.services.login_sessions import Origin
from tests.support.accounts import make_person
from tests.support.tenants import Tenant, make_tenant

ADDRESS = "192.0.2.1"
pytestmark = pytest.mark.usefixtures("database")


async def fail(email: str) -> None:
    async with get_session(SYSTEM) as session:
        await session.execute(update(Throttle).values(blocked_until=None))
    with pytest.raises(AuthenticationError):
        async with get_session(SYSTEM) as session:
            await AuthService(session, Origin("", ADDRESS)).login(email, "wrong password")


async def entries() -> list[AuditLog]:
    async with get_session(SYSTEM) as session:
        query = select(AuditLog).where(AuditLog.action == "user.login_failed")
        return [*await session.scalars(query.order_by(AuditLog.id))]


async def join(person: Tenant, name: str) -> int:
    other = await make_tenant(name)
    async with get_session(SYSTEM) as session:
        membership = {"org_id": other.org_id, "user_id": person.owner.user_id}
        session.add(Membership(**membership, role=Role.VIEWER))
    return other.org_id


async def test_a_failed_login_is_in_every_organisation_of_who_was_tried_once() -> None:
    person = await make_person()
    second = await join(person, "Second")
    await make_person("Strange")
    await fail(person.owner.email)
    assert await entries() == []
    assert await record_failures() == 1
    found = await entries()
    assert [one.org_id for one in found] == [person.org_id, second]
    for one in found:
        assert (one.resource_id, one.user_id, one.actor) == (
            person.owner.user_id, None, "not logged in",
        )  # fmt: skip
        assert one.new is not None
        assert (one.new["reason"], one.new["address"]) == ("password", ADDRESS)
        async with get_session(SYSTEM) as session:
            assert await verify(session, one.org_id) is None


async def test_of_many_failures_in_an_hour_one_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    person = await make_person()
    for _ in range(7):
        await fail(person.owner.email)
        await record_failures()
    assert len(await entries()) == 1
    later = failed_logins.time.time() + 3600
    monkeypatch.setattr(failed_logins.time, "time", lambda: later)
    await fail(person.owner.email)
    await record_failures()
    assert len(await entries()) == 2


async def test_an_unknown_account_costs_the_same_statement_and_is_in_no_log() -> None:
    await make_person()
    await fail("nobody@example.com")
    async with get_session(SYSTEM) as session:
        noted = select(func.count(UserToken.id)).where(UserToken.purpose == "login_failed")
        assert await session.scalar(noted) == 1
    assert await record_failures() == 0
    assert await entries() == []


async def test_two_web_processes_record_a_failure_once() -> None:
    people: list[Any] = [await make_person(f"Org {number}") for number in range(4)]
    for person in people:
        user = person.owner
        await note_failure(user.email, user.user_id, "password", ADDRESS)
    counts = await asyncio.gather(record_failures(), record_failures(), record_failures())
    assert sum(counts) == 4
    assert len(await entries()) == 4
