"""Sessions: one block is one transaction, in one scope."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, text
from sqlalchemy.exc import ProgrammingError

from datanika.config import settings
from datanika.db import (
    APP_ROLE,
    SYSTEM,
    SYSTEM_ROLE,
    TenantScope,
    async_url,
    dispose_engine,
    get_session,
)
from datanika.errors import Unavailable
from datanika.models import Organization
from tests.support.net import free_port
from tests.support.superuser import superuser

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


async def test_the_scope_travels_with_the_beginning_of_the_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await count()
    sent: list[str] = []
    execute = asyncpg.Connection.execute

    async def recorded(self: Any, query: str, *args: Any, **options: Any) -> Any:
        sent.append(query)
        return await execute(self, query, *args, **options)

    monkeypatch.setattr(asyncpg.Connection, "execute", recorded)
    async with get_session(TenantScope(7)) as session:
        await session.execute(text("SELECT 1"))
    begin, end = sent
    assert begin.startswith("BEGIN") and "'datanika_app'" in begin and "'7'" in begin
    assert end == "COMMIT;"


async def test_a_transaction_that_cannot_enter_its_scope_is_nobodys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("datanika.db.SYSTEM_ROLE", "no_such_role")
        with pytest.raises(Unavailable):
            await count()
    assert await count() == 0


async def test_a_connection_that_the_server_closed_is_replaced_before_it_is_used(
    postgres_server: Any,
) -> None:
    async with get_session(SYSTEM) as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
    with superuser(postgres_server.admin_url) as sql:
        sql.execute(f"SELECT pg_terminate_backend({pid}, 5000)")
    await asyncio.sleep(0.1)
    assert await count() == 0


async def test_a_database_that_is_not_there_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await dispose_engine()
    nobody = f"postgresql://u:p@127.0.0.1:{free_port()}/d"
    monkeypatch.setattr(settings, "database_url", SecretStr(nobody))
    with pytest.raises(Unavailable) as refused:
        async with get_session():
            pass
    assert refused.value.code == "database_unavailable"
    await dispose_engine()


async def test_a_connection_lost_in_the_middle_is_unavailable_and_the_next_one_works(
    postgres_server: Any,
) -> None:
    with pytest.raises(Unavailable):
        async with get_session(SYSTEM) as session:
            pid = await session.scalar(text("SELECT pg_backend_pid()"))
            with superuser(postgres_server.admin_url) as sql:
                sql.execute(f"SELECT pg_terminate_backend({pid}, 5000)")
            await session.scalar(text("SELECT 1"))
    assert await count() == 0


async def test_an_error_of_the_block_stays_what_it_is() -> None:
    with pytest.raises(FileNotFoundError):
        async with get_session():
            raise FileNotFoundError
    with pytest.raises(ProgrammingError):
        async with get_session() as session:
            await session.execute(text("SELECT * FROM nothing"))


@pytest.mark.parametrize(
    "url", ["postgresql://u:p@h:1/d", "postgres://u:p@h:1/d", "postgresql+psycopg2://u:p@h:1/d"]
)
def test_every_postgresql_url_is_opened_with_asyncpg(url: str) -> None:
    assert async_url(url) == "postgresql+asyncpg://u:p@h:1/d"
