"""A run that defers builds what it selects into a schema of its own, and reads the rest where the
pipeline builds it."""

from __future__ import annotations

from pathlib import Path

from datanika.compiler import build_project
from datanika.contracts.enums import StepState
from datanika.contracts.events import NodeFinished, RunEvent
from datanika.contracts.spec import TransformationSpec, TransformStep
from datanika.contracts.steps import ResolvedTransform
from datanika.engines.dbt_engine.build import run_transform
from tests.support.postgres import Warehouse
from tests.test_engines.steps import postgres

SOURCES = {"stg": "select 1 as id, 'a' as name", "mart": "select id, name from {{ ref('stg') }}"}


def specs(**changed: str) -> list[TransformationSpec]:
    models = SOURCES | {"top": "select count(*) as n from {{ ref('mart') }}"} | changed
    return [
        TransformationSpec(
            name=name, destination_id=2, sql=sql, materialization="table",
            target_schema="marts" if name == "mart" else None,
        )
        for name, sql in models.items()
    ]  # fmt: skip


def build(
    warehouse: Warehouse, folder: Path, models: list[TransformationSpec], own: str | None = None,
    **more: object,
) -> tuple[StepState, dict[str, NodeFinished]]:  # fmt: skip
    step = TransformStep.model_validate({"key": "t", "destination_id": 2, **more})
    files = build_project("org1", step, "postgres", models, ())
    production: dict[str, str] = {}
    if own is not None:
        there, step = files, step.model_copy(update={"default_schema": own})
        files = build_project("org1", step, "postgres", models, (), scratch=True)
        production = {path: text for path, text in there.items() if files.get(path) != text}
    resolved = ResolvedTransform(
        run_id=7,
        attempt=1,
        step=step,
        destination=postgres(warehouse.config),
        project_name="org1",
        files=files,
        production_schema=None if own is None else "analytics",
        production_files=production,
    )
    events: list[RunEvent] = []
    folder.mkdir()
    finished = run_transform(resolved, folder, events.append)
    assert finished.failure is None, finished.failure
    return finished.state, {e.name: e for e in events if isinstance(e, NodeFinished)}


def test_a_changed_model_and_its_children_are_tried_over_production(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    build(warehouse, tmp_path / "production", specs())
    before = warehouse.query("select xmin::text from marts.mart")
    changed = specs(mart="select id, upper(name) as name from {{ ref('stg') }}")

    state, nodes = build(warehouse, tmp_path / "own", changed, own="dev_u5", select=("mart+",))

    assert state is StepState.SUCCEEDED
    assert {name: node.relation for name, node in nodes.items()} == {
        "mart": "dev_u5_marts.mart",
        "top": "dev_u5.top",
    }
    assert '"analytics"."stg"' in nodes["mart"].details["compiled_sql"], "not selected: production"
    assert '"dev_u5_marts"."mart"' in nodes["top"].details["compiled_sql"], "selected: its own"
    assert warehouse.query("select name from dev_u5_marts.mart") == [("A",)]
    assert warehouse.query("select name from marts.mart") == [("a",)]
    assert warehouse.query("select xmin::text from marts.mart") == before

    # What an earlier try left there is not what production has.
    _, nodes = build(warehouse, tmp_path / "again", changed, own="dev_u5", select=("top",))
    assert '"marts"."mart"' in nodes["top"].details["compiled_sql"]
    assert '"dev_u5' not in nodes["top"].details["compiled_sql"]
