"""Sessions: one block is one transaction, in one scope."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import func, select, text

from datanika.db import APP_ROLE, SYSTEM, SYSTEM_ROLE, TenantScope, async_url, get_session
from datanika.models import Organization

pytestmark = pytest.mark.usefixtures("database")


def organization(slug: str) -> Organization:
    return Organization(name=slug, slug=slug)


async def count() -> int | None:
    async with get_session(SYSTEM) as session:
        return await session.scalar(select(func.count(Organization.id)))


async def test_the_end_of_the_block_commits() -> None:
    async with get_session(SYSTEM) as session:
        session.add(organization("a"))
    assert await count() == 1


async def test_an_error_takes_everything_back() -> None:
    with pytest.raises(ZeroDivisionError):
        async with get_session(SYSTEM) as session:
            session.add(organization("a"))
            await session.flush()
            raise ZeroDivisionError
    assert await count() == 0


async def test_a_cancelled_request_takes_everything_back() -> None:
    started = asyncio.Event()

    async def request() -> None:
        async with get_session(SYSTEM) as session:
            session.add(organization("a"))
            await session.flush()
            started.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(request())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await count() == 0


@pytest.mark.parametrize(
    ("scope", "role", "org_id"),
    [(None, APP_ROLE, ""), (TenantScope(7), APP_ROLE, "7"), (SYSTEM, SYSTEM_ROLE, "")],
)
async def test_a_scope_is_a_role_and_an_organisation(
    scope: TenantScope | None, role: str, org_id: str
) -> None:
    async with get_session(scope) as session:
        row = (
            await session.execute(text("SELECT current_user, current_setting('app.org_id')"))
        ).one()
    assert tuple(row) == (role, org_id)


@pytest.mark.parametrize(
    "url", ["postgresql://u:p@h:1/d", "postgres://u:p@h:1/d", "postgresql+psycopg2://u:p@h:1/d"]
)
def test_every_postgresql_url_is_opened_with_asyncpg(url: str) -> None:
    assert async_url(url) == "postgresql+asyncpg://u:p@h:1/d"
