"""One run through everything that is real: API, Prefect, worker, dlt, dbt, PostgreSQL."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sqlalchemy import select

from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.db import get_session
from datanika.models import Run, RunLog, RunStep
from datanika.orchestration.gateway import PrefectGateway
from datanika.services.deployer import submit_run
from datanika.services.run_service import RunService
from tests.support.pipelines import make_pipeline
from tests.support.postgres import Warehouse
from tests.support.tenants import Tenant, make_tenant
from tests.test_execution.running_worker import final_state
from tests.test_flows.conftest import Start

ORDERS = "id,amount,customer\n1,10.50,ann\n2,20.25,bob\n3,30.00,ann\n"


async def run_once(tenant: Tenant, pipeline_id: int, key: str) -> tuple[Run, list[RunStep]]:
    """Trigger a pipeline; the run and its steps after Prefect says that it is over."""
    async with get_session(tenant.owner.scope) as session:
        run = await RunService(session, tenant.owner).trigger(pipeline_id, key)
    await submit_run(run.id)
    async with get_session(tenant.owner.scope) as session:
        run = await session.get_one(Run, run.id)
    assert run.flow_run_id is not None
    async with PrefectGateway() as gateway:
        await final_state(gateway, run.flow_run_id, 120)
    async with get_session(tenant.owner.scope) as session:
        run = await session.get_one(Run, run.id)
        query = select(RunStep).where(RunStep.run_id == run.id).order_by(RunStep.id)
        return run, list(await session.scalars(query))


async def test_files_become_tables_and_models(start: Start, warehouse: Warehouse) -> None:
    tenant = await make_tenant()
    files = settings.org_root(tenant.org_id) / "files"
    files.mkdir(parents=True)
    (files / "orders.csv").write_text(ORDERS)
    pipeline = await make_pipeline(tenant.owner, destination=warehouse.config)
    async with start():
        first, steps = await run_once(tenant, pipeline.id, "first")
        second, _ = await run_once(tenant, pipeline.id, "second")

    assert (first.state, first.error_message) == (RunState.SUCCEEDED, None)
    assert second.state == RunState.SUCCEEDED
    assert {(step.step_key, step.node == "", step.state) for step in steps} == {
        ("load", True, "succeeded"),
        ("load", False, "succeeded"),
        ("transform", True, "succeeded"),
        ("transform", False, "succeeded"),
    }
    [(table,)] = warehouse.query(
        "select table_name from information_schema.tables where table_schema = 'raw'"
        " and table_name like 'orders%'"
    )
    assert warehouse.query(f"select count(*), sum(amount) from raw.{table}")[0][0] == 3
    assert not list((settings.home / "work").glob("step-*")), "no engine leaves its folder"


async def test_a_password_stays_where_it_is_used(start: Start, warehouse: Warehouse) -> None:
    """A wrong one makes every layer complain; none of them may quote it."""
    canary = "canary-9f3b7c21"
    tenant = await make_tenant()
    files = settings.org_root(tenant.org_id) / "files"
    files.mkdir(parents=True)
    (files / "orders.csv").write_text(ORDERS)
    wrong = warehouse.config | {"password": canary}
    pipeline = await make_pipeline(tenant.owner, destination=wrong)
    async with start():
        run, _ = await run_once(tenant, pipeline.id, "only")

    assert run.state == RunState.FAILED
    assert run.error_code == "authentication_failed"
    assert not [
        path
        for path in settings.home.rglob("*")
        if path.is_file() and canary.encode() in path.read_bytes()
    ]
    async with get_session(tenant.owner.scope) as session:
        for model in (Run, RunStep, RunLog):
            for row in await session.scalars(select(model)):
                assert canary not in repr(vars(row))


def test_the_environment_file_is_not_read_by_the_data_plane(tmp_path: Path) -> None:
    """``datanika.config`` reads runtime.env, where every key of the platform is."""
    import sys

    code = (
        "import sys, datanika.execution.engine_host, datanika.execution.worker, "
        "datanika.execution.flow_process, datanika.execution.launcher, flows.tenant_pipeline, "
        "flows.maintenance; sys.exit('datanika.config' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0
