"""A transform step that is retried builds what an earlier run did not, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from datanika.contracts.enums import DbtCommand, StepState
from datanika.contracts.events import NodeFinished, RunEvent, StepFinished
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedTransform
from datanika.engines.dbt_engine.build import run_transform
from tests.support.postgres import Warehouse
from tests.test_engines.steps import postgres

MODELS = {
    "base": "select 1 as id",
    "broken": "select id / 0 as id from {{ ref('base') }}",
    "below": "select * from {{ ref('broken') }}",
    "beside": "select * from {{ ref('base') }}",
    "tested": "select null::int as id",
}
YML = """
version: 2
models:
  - name: base
    columns: [{name: id, data_tests: [not_null]}]
  - name: tested
    columns: [{name: id, data_tests: [not_null]}]
"""


def build(
    warehouse: Warehouse, folder: Path, done: tuple[str, ...] = (), **changes: str
) -> tuple[StepFinished, dict[str, NodeFinished]]:
    models = {f"models/{name}.sql": sql for name, sql in {**MODELS, **changes}.items()}
    files = {
        "dbt_project.yml": "name: org1\nversion: 1.0.0\nprofile: org1\n"
        "models: {+materialized: table}\n",
        "models/schema.yml": YML,
        **models,
    }
    step = ResolvedTransform(
        run_id=7,
        attempt=1,
        step=TransformStep(key="transform", destination_id=2, command=DbtCommand.BUILD),
        destination=postgres(warehouse.config),
        project_name="org1",
        files=files,
        done=done,
    )
    events: list[RunEvent] = []
    folder.mkdir()
    finished = run_transform(step, folder, events.append)
    return finished, {e.node: e for e in events if isinstance(e, NodeFinished)}


@pytest.fixture
def first(warehouse: Warehouse, tmp_path: Path) -> dict[str, NodeFinished]:
    finished, nodes = build(warehouse, tmp_path / "first")
    assert finished.state is StepState.FAILED
    return nodes


def test_only_what_failed_and_what_is_downstream_of_it_is_built(
    first: dict[str, NodeFinished], warehouse: Warehouse, tmp_path: Path
) -> None:
    states = {node.split(".")[2]: event.state for node, event in first.items()}
    assert states["base"] == states["beside"] == states["not_null_base_id"] == "succeeded"
    assert (states["broken"], states["below"]) == ("failed", "skipped")
    assert (states["tested"], states["not_null_tested_id"]) == ("succeeded", "failed")
    done = tuple(node for node, event in first.items() if event.state is StepState.SUCCEEDED)
    finished, nodes = build(
        warehouse, tmp_path / "again", done, broken="select id from {{ ref('base') }}"
    )
    built = {node.split(".")[2]: event.state for node, event in nodes.items()}
    assert built == {"broken": "succeeded", "below": "succeeded", "not_null_tested_id": "failed"}
    assert finished.failure is not None and finished.failure.code == "dbt_tests_failed"


def test_nothing_is_built_when_everything_was(
    first: dict[str, NodeFinished], warehouse: Warehouse, tmp_path: Path
) -> None:
    finished, nodes = build(warehouse, tmp_path / "again", tuple(first))
    assert (finished.state, nodes) == (StepState.SUCCEEDED, {})
