"""Cursors: history, rewinds, and who may."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from datanika.contracts.enums import Role, WriteDisposition
from datanika.contracts.events import CursorMoved
from datanika.contracts.steps import ResolvedLoad
from datanika.db import SYSTEM, get_session
from datanika.errors import DatanikaError, NotFound, PermissionDenied
from datanika.models import AuditLog, CursorVersion
from datanika.services.actor import Actor
from datanika.services.cursor_service import Cursor, CursorService
from datanika.services.run_recorder import RunRecorder, claim_run
from datanika.services.run_service import RunService
from tests.support.pipelines import make_incremental
from tests.support.tenants import Tenant, add_member, make_tenant

AT = ("load", "orders")


@pytest.fixture
async def tenant(database: str) -> Tenant:
    return await make_tenant()


class Running:
    """A run that a worker has."""

    def __init__(self, actor: Actor, run_id: int, attempt: int) -> None:
        self.actor, self.run_id, self.attempt = actor, run_id, attempt

    async def resolve(self) -> ResolvedLoad:
        async with get_session(self.actor.scope) as session:
            step = await RunRecorder(session, self.run_id, self.attempt).resolve("load")
        assert isinstance(step, ResolvedLoad)
        return step

    async def moved(self, value: str | None, **state: Any) -> None:
        event = CursorMoved(
            step_key="load", target="orders", column="at", value=value,
            state={"last": value, **state},
        )  # fmt: skip
        async with get_session(self.actor.scope) as session:
            await RunRecorder(session, self.run_id, self.attempt).record([event])


async def start(actor: Actor, pipeline_id: int, key: str) -> Running:
    async with get_session(actor.scope) as session:
        run = await RunService(session, actor).trigger(pipeline_id, key)
    async with get_session(actor.scope) as session:
        claim = await claim_run(
            session, org_id=actor.org_id, pipeline_id=pipeline_id, flow_run_id=key, run_id=run.id
        )
    return Running(actor, run.id, claim.attempt)


async def present(actor: Actor, pipeline_id: int) -> Cursor:
    async with get_session(actor.scope) as session:
        [cursor] = await CursorService(session, actor).list(pipeline_id)
    return cursor


async def history(actor: Actor, pipeline_id: int) -> Sequence[CursorVersion]:
    async with get_session(actor.scope) as session:
        return (await CursorService(session, actor).history(pipeline_id, *AT)).rows


async def rewind(actor: Actor, pipeline_id: int, **to: Any) -> CursorVersion:
    async with get_session(actor.scope) as session:
        return await CursorService(session, actor).rewind(pipeline_id, *AT, **to)


async def refusal(actor: Actor, pipeline_id: int, **to: Any) -> str:
    with pytest.raises(DatanikaError) as refused:
        await rewind(actor, pipeline_id, **to)
    return refused.value.code


async def test_every_committed_load_is_a_version_and_a_repeated_report_is_not(
    tenant: Tenant,
) -> None:
    pipeline = await make_incremental(tenant.owner)
    before = await present(tenant.owner, pipeline)
    assert (before.target, before.column, before.version) == ("orders", "at", None)
    first = await start(tenant.owner, pipeline, "1")
    await first.moved("2024-01-01")
    await first.moved("2024-01-01")
    second = await start(tenant.owner, pipeline, "2")
    await second.moved("2024-01-02")
    rows = await history(tenant.owner, pipeline)
    assert [(row.number, row.value, row.origin, row.run_id) for row in rows] == [
        (2, "2024-01-02", "run", second.run_id),
        (1, "2024-01-01", "run", first.run_id),
    ]


async def test_a_rewind_goes_to_the_next_load_until_one_has_taken_it(tenant: Tenant) -> None:
    pipeline = await make_incremental(tenant.owner)
    first = await start(tenant.owner, pipeline, "1")
    await first.moved("2024-01-01", seen={"a": 1})
    await first.moved("2024-01-05")
    made = await rewind(tenant.owner, pipeline, to_version=1)
    assert (made.number, made.origin, made.moved_by) == (3, "rewind", tenant.owner.user_id)
    cursor = await present(tenant.owner, pipeline)
    assert cursor.version is not None
    assert (cursor.version.value, cursor.is_pending) == ("2024-01-01", True)
    [order] = (await first.resolve()).rewinds
    assert (order.target, order.number, order.column) == ("orders", 3, "at")
    assert order.state == {"last": "2024-01-01", "seen": {"a": 1}}
    # A run that had begun before knows nothing of it.
    await first.moved("2024-01-06")
    assert (await present(tenant.owner, pipeline)).is_pending
    await first.moved("2024-01-06", rewind=3)
    cursor = await present(tenant.owner, pipeline)
    assert cursor.version is not None
    assert (cursor.version.value, cursor.is_pending) == ("2024-01-06", False)


async def test_a_rewind_is_audited(tenant: Tenant) -> None:
    pipeline = await make_incremental(tenant.owner)
    await (await start(tenant.owner, pipeline, "1")).moved("10")
    await rewind(tenant.owner, pipeline, value=3)
    async with get_session(SYSTEM) as session:
        entry = await session.scalar(select(AuditLog).where(AuditLog.action == "cursor.rewound"))
    assert entry is not None and entry.old is not None and entry.new is not None
    assert (entry.old["value"], entry.new["value"], entry.user_id) == (
        "10", "3", tenant.owner.user_id,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("now", "to", "code"),
    [
        ("2024-01-05 00:00:00", {"value": "2024-01-06"}, "cursor_forward"),
        ("2024-01-05 00:00:00+00:00", {"value": "2024-01-05 03:00:00+02:00"}, "cursor_forward"),
        ("2024-01-05", {"value": "yesterday"}, "cursor_value_invalid"),
        ("9", {"value": 10}, "cursor_forward"),
        ("9", {"value": "x"}, "cursor_value_invalid"),
        ("abc", {"value": "abd"}, "cursor_forward"),
        ("9", {"to_version": 7}, "cursor_version_not_found"),
    ],
)
async def test_a_rewind_goes_back_to_something_of_its_kind(
    tenant: Tenant, now: str, to: dict[str, Any], code: str
) -> None:
    pipeline = await make_incremental(tenant.owner)
    await (await start(tenant.owner, pipeline, "1")).moved(now)
    assert await refusal(tenant.owner, pipeline, **to) == code
    assert len(await history(tenant.owner, pipeline)) == 1


async def test_a_rewind_of_append_must_accept_duplicates(tenant: Tenant) -> None:
    pipeline = await make_incremental(tenant.owner, WriteDisposition.APPEND)
    assert await refusal(tenant.owner, pipeline) == "rewind_duplicates"
    assert (await rewind(tenant.owner, pipeline, accept_duplicates=True)).value is None


async def test_a_table_without_a_cursor_has_none(tenant: Tenant) -> None:
    pipeline = await make_incremental(tenant.owner)
    async with get_session(tenant.owner.scope) as session:
        for target in ("plain", "nothing"):
            with pytest.raises(NotFound):
                await CursorService(session, tenant.owner).rewind(pipeline, "load", target)


async def test_roles_and_organisations_decide(tenant: Tenant) -> None:
    pipeline = await make_incremental(tenant.owner)
    await (await start(tenant.owner, pipeline, "1")).moved("1")
    viewer = await add_member(tenant.org_id, Role.VIEWER)
    assert len(await history(viewer, pipeline)) == 1
    with pytest.raises(PermissionDenied):
        await rewind(viewer, pipeline)
    other = (await make_tenant("Other")).owner
    for call in (present(other, pipeline), history(other, pipeline), rewind(other, pipeline)):
        with pytest.raises(NotFound):
            await call


async def test_parallel_rewinds_have_numbers_of_their_own(tenant: Tenant) -> None:
    pipeline = await make_incremental(tenant.owner)
    made = await asyncio.gather(*(rewind(tenant.owner, pipeline) for _ in range(8)))
    assert sorted(version.number for version in made) == list(range(1, 9))
