"""``datanika queue`` lists what waits in every organisation."""

from __future__ import annotations

import asyncio

import pytest
from typer.testing import CliRunner

from datanika.cli.main import app
from tests.support.dependencies import trigger
from tests.support.pipelines import make_pipeline
from tests.support.tenants import make_tenant

pytestmark = pytest.mark.usefixtures("database")


async def listed(*arguments: str) -> list[str]:
    """The command in a thread: it has an event loop of its own."""
    result = await asyncio.to_thread(CliRunner().invoke, app, ["queue", *arguments])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


async def test_operators_see_every_organisations_queue_with_its_reasons() -> None:
    assert await listed() == ["No run waits."]
    ours, theirs = await make_tenant(), await make_tenant()
    runs = []
    for tenant in (ours, theirs, theirs):
        made = await make_pipeline(tenant.owner, f"p{len(runs)}")
        runs.append(await trigger(tenant.owner, made.id))
    second = await trigger(theirs.owner, runs[2].pipeline_id)
    head, *lines = await listed()
    assert head.split() == ["ORGANIZATION", "RUN", "PIPELINE", "WAITS", "REASON", "WHY"]
    assert [line.split()[1] for line in lines] == [
        f"#{run.id}" for run in (runs[0], runs[1], runs[2], second)
    ]
    assert "waits_for_run" in lines[3] and f"Run {runs[2].id} of this pipeline" in lines[3]
    assert {line.index("#") for line in lines} == {head.index("RUN")}
    assert len(await listed("--limit", "2")) == 3
