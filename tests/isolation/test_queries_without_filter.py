"""Every statement that the routes send for an organisation, sent for another one without the
application's filter on the organisation: row-level security alone gives nothing away.

New routes are covered by their line in ``routes.py``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import exists, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from datanika.db import APP_ROLE, SYSTEM_ROLE, get_session
from datanika.models import Pipeline, Run
from datanika.services.catalog_service import CatalogService
from datanika.services.connection_service import ConnectionService
from datanika.services.member_service import MemberService
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_service import RunService
from datanika.services.transformation_graph import callable_macros
from datanika.services.transformation_service import TransformationService
from tests.isolation.routes import ROUTES, Route, ask, routes_of
from tests.isolation.stripped import Sent, recorded
from tests.isolation.world import World, undone
from tests.support.application import application
from tests.support.tenants import access_token

EMPTY_ORGANISATION = 2**40
NOTHING = (None, 0, False)


async def _what_was_built(session: AsyncSession, world: World) -> object:
    row = await TransformationService(session, world.owner).get(world.transformation_id)
    named = text("UPDATE catalog_entries SET name = :name WHERE id = :id")
    await session.execute(named, {"name": row.name, "id": world.entry_id})
    return await CatalogService(session, world.owner).built_by(row)


async def _macros(session: AsyncSession, world: World) -> object:
    changed = text("UPDATE transformations SET kind = 'macro' WHERE id = :id")
    await session.execute(changed, {"id": world.transformation_id})
    return await callable_macros(session, world.owner, world.destination_id)


BEHIND_NO_ROUTE: dict[str, Callable[[AsyncSession, World], Awaitable[Any]]] = {
    "latest runs": lambda s, w: RunService(s, w.owner).latest([w.pipeline_id]),
    "pipeline names": lambda s, w: PipelineService(s, w.owner).names([w.pipeline_id]),
    "connection refs": lambda s, w: ConnectionService(s, w.owner).refs([w.connection_id]),
    "transformation specs": lambda s, w: TransformationService(s, w.owner).specs(),
    "start of a log": lambda s, w: RunService(s, w.owner).log_start(w.run_id, 0),
    "names of members": lambda s, w: MemberService(s, w.owner).names([w.owner.user_id]),
    "macros": _macros,
    "what was built": _what_was_built,
}
TENANT_ROUTES = [
    route for route in routes_of(application()) if route.permission and str(route) in ROUTES
]


async def seen(
    connection: AsyncConnection, sent: Sent, role: str, org_id: int | None
) -> list[tuple[Any, ...]]:
    """Rows of ``sent`` for the organisation, or as many Nones as it changed; it is undone."""
    async with connection.begin_nested() as savepoint:
        await connection.execute(
            text("SELECT set_config('role', :role, true), set_config('app.org_id', :org, true)"),
            {"role": role, "org": "" if org_id is None else str(org_id)},
        )
        result = await connection.execute(sent.statement, sent.parameters)
        rows = (
            [tuple(row) for row in result]
            if result.returns_rows
            else [("changed",)] * result.rowcount
        )
        await savepoint.rollback()
    # An aggregate, or an EXISTS, has a row to say that there is none.
    return [row for row in rows if any(value not in NOTHING for value in row)]


async def bites_of(connection: AsyncConnection, statements: list[Sent], world: World) -> int:
    """How many of ``statements`` would have shown or changed something, had there been no
    row-level security. With it, none may."""
    bites = 0
    for one in statements:
        stripped = one.without_filter()
        assert not stripped.is_filtered
        for org_id in (EMPTY_ORGANISATION, None):
            assert await seen(connection, stripped, APP_ROLE, org_id) == [], one.statement
        if await seen(connection, one, APP_ROLE, world.org_id):
            shown = await seen(connection, stripped, SYSTEM_ROLE, None)
            assert shown, f"the stripped statement is not the same query: {stripped.statement}"
            bites += 1
    return bites


@pytest.mark.parametrize("route", TENANT_ROUTES, ids=str)
async def test_row_level_security_alone_keeps_another_organisation_out(
    route: Route, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = ROUTES[str(route)]
    async with undone(monkeypatch) as connection:
        with recorded(connection) as statements:
            answer = await ask(world, route, entry, access_token(world.owner))
        assert answer.status_code == (entry.owner or entry.success), answer.text
        bites = await bites_of(connection, statements, world)
        # A change may have taken away what its own statements would find again.
        assert bites == len(statements) if route.method == "GET" else bites > 0


@pytest.mark.parametrize("name", BEHIND_NO_ROUTE)
async def test_what_only_the_ui_asks_is_kept_in_too(
    name: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with undone(monkeypatch) as connection:
        with recorded(connection) as statements:
            async with get_session(world.owner.scope) as session:
                await BEHIND_NO_ROUTE[name](session, world)
        assert await bites_of(connection, statements, world) == len(statements) > 0


def test_a_filter_is_found_and_taken_out() -> None:
    """Of every statement with ``org_id = …``, those inside EXISTS and joins, too."""
    inner = exists(select(Run.id).where(Run.org_id == 1, Run.pipeline_id == Pipeline.id))
    joined = select(Pipeline).join(Run, Run.org_id == Pipeline.org_id).where(Pipeline.org_id == 1)
    for statement in (
        select(Pipeline).where(Pipeline.org_id == 1, inner),
        joined,
        update(Pipeline).where(Pipeline.org_id == 1).values(name="x"),
    ):
        found = Sent(statement, {})
        assert found.is_filtered
        assert "org_id = :" not in str(found.without_filter().statement)
    assert "runs.org_id = pipelines.org_id" in str(Sent(joined, {}).without_filter().statement)
