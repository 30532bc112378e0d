"""What a run is expected to take comes from runs that succeeded."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from datanika.contracts.events import Failure
from datanika.db import get_session
from datanika.models import RunStep
from datanika.services.pipeline_service import PipelineService
from datanika.services.step_history import LoadPath, load_paths, step_history
from datanika.ui.views.pipelines import expected_seconds, plan_steps
from tests.support import story as stories
from tests.support.tenants import make_tenant


async def test_rows_and_seconds_are_medians_of_runs_that_succeeded(database: str) -> None:
    story = await stories.make_story()
    actor = story.actor
    async with get_session(actor.scope) as session:
        assert await step_history(session, actor, story.pipeline_id) == {}
    first, second = [await stories.whole_run(story) for _ in range(2)]
    failed = await stories.start_run(story)
    await stories.finish(story, failed, Failure(code="x", message="x"))
    async with get_session(actor.scope) as session:
        details = {"path": "binary copy", "path_reason": "same types"}
        node = RunStep.node == "raw.flights"
        await session.execute(
            update(RunStep).where(RunStep.run_id == second, node).values(details=details)
        )
        seconds = {first: 4.0, second: 6.0}
        for run_id, took in seconds.items():
            await session.execute(
                update(RunStep)
                .where(RunStep.run_id == run_id, RunStep.node == "")
                .values(duration_seconds=took)
            )
        history = await step_history(session, actor, story.pipeline_id)
        paths = await load_paths(session, actor, story.pipeline_id)
        plan = await PipelineService(session, actor).plan(story.pipeline_id)
    load, build = history["load_nyc"], history["transform_nyc"]
    assert (load.runs, load.seconds, load.rows) == (2, pytest.approx(5), sum(stories.ROWS.values()))
    assert (build.runs, build.rows) == (2, None)
    assert paths == {"raw.flights": LoadPath("binary copy", "same types")}
    assert expected_seconds(plan, history) == pytest.approx(10)
    assert expected_seconds(plan, {"load_nyc": load}) is None
    [shown, _] = plan_steps(plan, history, paths)
    assert (shown.stage, shown.paths) == (1, ["flights: binary copy (same types)"])
    assert any("flights" in line and "merge on" in line for line in shown.details)
    # Nobody else's runs count.
    stranger = (await make_tenant()).owner
    async with get_session(stranger.scope) as session:
        assert await step_history(session, stranger, story.pipeline_id) == {}
