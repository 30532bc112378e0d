"""A broken contract stops only what reads the column, through everything real, and a retry builds
the rest once the source is right again."""

from __future__ import annotations

import httpx
from sqlalchemy import select

from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.contracts.spec import LoadStep, PipelineSpec, RetryPolicy, TableSpec, TransformStep
from datanika.contracts.spec import TransformationSpec as Spec
from datanika.db import get_session
from datanika.models import RunStep
from datanika.services.actor import Actor
from datanika.services.connection_service import ConnectionService
from datanika.services.pipeline_service import PipelineService
from datanika.services.transformation_service import TransformationService
from tests.support.postgres import Warehouse
from tests.support.tenants import access_token, make_tenant
from tests.test_flows.conftest import Start

ONCE = RetryPolicy(retries=0)
MODELS = {
    "ids": "select id from {{ source('raw', 'orders') }}",
    "sums": "select sum(amount) as s from {{ source('raw', 'orders') }}",
    "after": "select s from {{ ref('sums') }}",
    "people": "select * from {{ source('raw', 'people') }}",
}

SAID = {
    "sums": {
        "description": "All that was paid.",
        "columns": [{"name": "s", "tests": ["not_null"]}],
    }
}


async def make(actor: Actor, warehouse: Warehouse) -> int:
    async with get_session(actor.scope) as session:
        connections = ConnectionService(session, actor)
        source = await connections.create("files", "files", {"format": "jsonl"})
        target = await connections.create("warehouse", "postgres", warehouse.config)
        for name, sql in MODELS.items():
            await TransformationService(session, actor).create(
                Spec.model_validate(
                    {
                        "name": name,
                        "destination_id": target.id,
                        "sql": sql,
                        "materialization": "table",
                        **SAID.get(name, {}),
                    }
                )
            )
        frozen = {"data_types": "freeze"}
        load = LoadStep(
            key="load",
            source_id=source.id,
            destination_id=target.id,
            target_schema="raw",
            tables=(
                TableSpec.model_validate({"name": "orders.jsonl", "schema_contract": frozen}),
                TableSpec(name="people.jsonl"),
            ),
            retry=ONCE,
        )
        build = TransformStep(
            key="build", depends_on=("load",), destination_id=target.id, retry=ONCE
        )
        later = TransformStep(
            key="later", depends_on=("build",), destination_id=target.id, select=("after", "ids")
        )
        made = await PipelineService(session, actor).create(
            "p", "", PipelineSpec(steps=(load, build, later))
        )
        return made.id


async def ended(actor: Actor, run_id: object) -> dict[tuple[str, str], tuple[str, str | None]]:
    async with get_session(actor.scope) as session:
        steps = await session.scalars(select(RunStep).where(RunStep.run_id == run_id))
        return {
            (step.step_key, step.name if step.node else ""): (step.state, step.error_code)
            for step in steps
        }


async def test_a_frozen_column_stops_its_readers_alone(start: Start, warehouse: Warehouse) -> None:
    owner = (await make_tenant()).owner
    files = settings.org_root(owner.org_id) / "files"
    files.mkdir(parents=True)
    (files / "people.jsonl").write_text('{"id": 1}\n')
    (files / "orders.jsonl").write_text('{"id": 1, "amount": 5}\n')
    pipeline = await make(owner, warehouse)
    async with (
        start() as url,
        httpx.AsyncClient(
            base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {access_token(owner)}"}
        ) as api,
    ):

        async def run(path: str, **how: object) -> tuple[str, object]:
            answer = await api.post(f"{path}?wait=120", json=how, timeout=150)
            assert answer.status_code == 202, answer.text
            assert RunState(answer.json()["state"]).is_final
            return answer.json()["state"], answer.json()["id"]

        assert (await run(f"/pipelines/{pipeline}/runs"))[0] == "succeeded"
        (files / "people.jsonl").write_text('{"id": 1}\n{"id": 2}\n')
        (files / "orders.jsonl").write_text('{"id": 2, "amount": "many"}\n')
        state, one = await run(f"/pipelines/{pipeline}/runs")
        assert state == "failed"
        why = "column_contract_broken"
        assert await ended(owner, one) == {
            ("load", ""): ("failed", "schema_contract_violated"),
            ("load", "orders"): ("failed", "schema_contract_violated"),
            ("load", "people"): ("succeeded", None),
            ("build", ""): ("warned", why),
            ("build", "ids"): ("succeeded", None),
            ("build", "people"): ("succeeded", None),
            ("build", "sums"): ("skipped", why),
            ("build", "after"): ("skipped", why),
            ("build", "not_null_sums_s"): ("skipped", why),
            ("later", ""): ("warned", why),
            ("later", "after"): ("skipped", why),
            ("later", "ids"): ("succeeded", None),
        }
        assert warehouse.query("SELECT count(*) FROM analytics.people") == [(2,)]
        steps = (await api.get(f"/runs/{one}/steps")).json()["items"]
        [orders] = [step for step in steps if step["node"] == "raw.orders"]
        assert orders["breaches"] == [
            {"relation": "raw.orders", "column": "amount", "how": "frozen", "is_new": False}
        ]

        (files / "orders.jsonl").write_text('{"id": 2, "amount": 7}\n')
        state, two = await run(f"/runs/{one}/retry")
        found = await ended(owner, two)
        assert state == "succeeded"
        assert found["build", "sums"] == found["later", "after"] == ("succeeded", None)
        assert found["build", "people"][0] == "skipped", "an earlier run built it"
        assert warehouse.query("SELECT s FROM analytics.after") == [(7,)]

        # For one run: another command, other models, a schema of one's own.
        _, three = await run(f"/pipelines/{pipeline}/runs", command="docs generate")
        found = await ended(owner, three)
        assert found["load", ""][0] == "skipped" and found["build", "sums"][0] == "succeeded"
        _, four = await run(
            f"/pipelines/{pipeline}/runs", defer=True, select=["sums"], steps=["build"]
        )
        own = f"dev_u{owner.user_id}"
        assert (await ended(owner, four))["build", "sums"] == ("succeeded", None)
        assert warehouse.query(f"SELECT s FROM {own}.sums") == [(7,)]
        entries = (await api.get("/catalog?limit=100")).json()["items"]
        by_name = {entry["name"]: entry for entry in entries}
        assert {entry["schema_name"] for entry in entries} == {"raw", "analytics"}
        sums = by_name["sums"]
        assert (sums["docs"]["node"], sums["docs"]["description"]) == (
            f"model.org{owner.org_id}.sums", "All that was paid.",
        )  # fmt: skip
        assert sums["tests_state"] == "passed"
        assert sums["checks"]["not_null_sums_s"]["state"] == "succeeded"
        assert by_name["orders"]["docs"]["kind"] == "source", "docs generate saw it"
