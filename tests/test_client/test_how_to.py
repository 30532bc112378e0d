"""docs/how-to/use-the-python-client.md does what it says."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from pathlib import Path

import pytest
from sqlalchemy import select

from datanika.contracts.enums import RunState
from datanika.contracts.events import LogLine, RunFinish, StepStarted
from datanika.db import get_session
from datanika.models import Pipeline
from tests.support.application import application
from tests.support.serving import serving
from tests.support.tenants import Tenant, access_token, make_tenant
from tests.support.worker import work

PAGE = Path(__file__).parents[2] / "docs/how-to/use-the-python-client.md"


async def run_the_next(tenant: Tenant) -> None:
    """Be the worker of the pipeline that the page makes."""
    made = None
    while made is None:
        await asyncio.sleep(0.1)
        async with get_session(tenant.owner.scope) as session:
            made = await session.scalar(select(Pipeline.id))
    events = [
        StepStarted(step_key="load", attempt=1),
        LogLine(step_key="load", message="reading orders.csv"),
    ]
    await work(tenant.org_id, made, RunFinish(state=RunState.SUCCEEDED), events)


async def test_every_block_of_the_page_runs(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await make_tenant()
    blocks = re.findall(r"(?ms)^```python\n(.*?)^```", PAGE.read_text("utf-8"))
    printed: list[str] = []

    def read() -> None:
        names: dict[str, object] = {}
        for block in blocks:
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(block, str(PAGE), "exec"), names)
            printed.append(output.getvalue())

    worker = asyncio.create_task(run_the_next(tenant))
    async with serving(application()) as url:
        monkeypatch.setenv("DATANIKA_URL", url)
        monkeypatch.setenv("DATANIKA_TOKEN", access_token(tenant.owner))
        await asyncio.to_thread(read)
    await worker
    connected, created, ran, listed, changed, refused = printed
    assert connected.strip()
    assert "orders <- orders.csv" in created
    assert ran.startswith("succeeded\n") and ran.endswith("reading orders.csv\n")
    assert len(listed.splitlines()) == 1
    assert changed == ""
    assert refused.startswith("name_taken name ")
