"""Which run of a pipeline is in the way of the next."""

from __future__ import annotations

import pytest

from datanika.contracts.enums import RunState
from datanika.db import SYSTEM, get_session
from datanika.models import Pipeline
from datanika.services.overlap import unfinished_run
from datanika.services.run_service import RunService
from tests.support.channels import end_run
from tests.support.pipelines import make_pipeline
from tests.support.tenants import make_tenant

pytestmark = pytest.mark.usefixtures("database")


async def test_the_oldest_unfinished_run_of_the_pipeline_is_found_and_no_other() -> None:
    actor = (await make_tenant()).owner
    made, other = await make_pipeline(actor), await make_pipeline(actor, "returns")

    async def found() -> int | None:
        async with get_session(SYSTEM) as session:
            run = await unfinished_run(session, await session.get_one(Pipeline, made.id))
            return run.id if run else None

    assert await found() is None
    for state in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED):
        await end_run(actor, made.id, state)
    async with get_session(actor.scope) as session:
        runs = RunService(session, actor)
        await runs.trigger(other.id, "k")
    assert await found() is None
    async with get_session(actor.scope) as session:
        runs = RunService(session, actor)
        first, _ = await runs.trigger(made.id, "1"), await runs.trigger(made.id, "2")
    assert await found() == first.id
