"""Run events become run steps, log lines and catalog entries. The caller holds the run's lock."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import StepKind, StepState
from datanika.contracts.events import (
    CursorMoved,
    Failure,
    LineageFound,
    LogLine,
    NodeCommitted,
    NodeFinished,
    NodeProgress,
    NodeStarted,
    RunEvent,
    SchemaChanged,
    StepFinished,
    StepStarted,
)
from datanika.contracts.plan import Plan, PlanLoad, PlanTransform
from datanika.errors import InvalidInput
from datanika.models import CatalogEntry, Run, RunLog, RunStep
from datanika.services.catalog_service import record_catalog_entry, record_checks
from datanika.services.cursor_service import record_position
from datanika.services.lineage_store import lineage_of_load, store_lineage

MAX_MESSAGE = 16_000
"""Characters of a log line or an error that are kept."""

SCHEMA_CHANGES = "schema_changes"
"""Where the details of a table have what changed in its source."""

BREACHES = "breaches"
"""Where the details of a table have what broke its schema contract."""

_BUILT = (StepState.SUCCEEDED, StepState.WARNED)
_RELATIONS = ("table", "model", "seed", "snapshot")


async def store_events(session: AsyncSession, run: Run, events: Sequence[RunEvent]) -> None:
    """Apply a batch in its order. A batch that is sent again changes nothing."""
    plan = Plan.model_validate(run.plan)
    known = {planned.step.key: planned for planned in plan.steps}
    steps = await _load_steps(session, run, {event.step_key for event in events})
    for event in events:
        if isinstance(event, LogLine):
            continue
        if event.step_key not in known:
            raise InvalidInput(
                f"The plan has no step {event.step_key!r}.", code="unknown_step", field="step_key"
            )
        if isinstance(event, CursorMoved):
            await record_position(session, run, event)
            continue
        planned = known[event.step_key]
        # What somebody builds for themselves is no table of the organisation's.
        is_own = isinstance(planned, PlanTransform) and planned.production_schema is not None
        if isinstance(event, LineageFound):
            if is_own:
                continue
            await _store_lineage(session, run, known[event.step_key].destination.id, event)
            continue
        node = "" if isinstance(event, StepStarted | StepFinished) else _text(event.node, 400)
        step = steps.get((event.step_key, node))
        if step is None:
            step = steps[event.step_key, node] = _new_step(run, event.step_key, node)
            session.add(step)
        _apply(step, event)
        if isinstance(event, NodeFinished) and not is_own:
            await record_checks(session, run.org_id, planned.destination.id, event, run.id)
        if isinstance(event, NodeFinished) and _is_relation(event) and not is_own:
            entry = await record_catalog_entry(
                session, run.org_id, planned.destination.id, event, run.id
            )
            if entry is not None and isinstance(planned, PlanLoad):
                lineage = lineage_of_load(planned, event)
                if lineage is not None:
                    await store_lineage(session, entry, planned.source.id, lineage)
    await _store_logs(session, run, [event for event in events if isinstance(event, LogLine)])
    await session.flush()
    if any(isinstance(event, StepFinished | NodeProgress | NodeFinished) for event in events):
        run.rows = await _loaded_rows(session, run)


async def _store_lineage(
    session: AsyncSession, run: Run, connection_id: int, event: LineageFound
) -> None:
    """Of a relation that this run has built: an event may not speak of another's."""
    schema_name, _, name = event.relation.partition(".")
    entry = await session.scalar(
        select(CatalogEntry).where(
            CatalogEntry.org_id == run.org_id,
            CatalogEntry.connection_id == connection_id,
            CatalogEntry.schema_name == schema_name,
            CatalogEntry.name == name,
            CatalogEntry.run_id == run.id,
        )
    )
    if entry is not None:
        await store_lineage(session, entry, connection_id, event.lineage)


async def _load_steps(
    session: AsyncSession, run: Run, keys: set[str]
) -> dict[tuple[str, str], RunStep]:
    query = select(RunStep).where(RunStep.run_id == run.id, RunStep.step_key.in_(keys))
    found = (await session.execute(query.execution_options(populate_existing=True))).scalars()
    return {(step.step_key, step.node): step for step in found}


def _new_step(run: Run, key: str, node: str) -> RunStep:
    return RunStep(
        org_id=run.org_id,
        run_id=run.id,
        step_key=key,
        node=node,
        name=node or key,
        kind="",
        state=StepState.PENDING.value,
        attempt=0,
        depends_on=[],
        details={},
    )


def _apply(step: RunStep, event: RunEvent) -> None:
    if isinstance(event, StepStarted):
        _start(step, event)
        step.attempt = event.attempt
    elif isinstance(event, NodeStarted):
        _start(step, event)
        _name_node(step, event)
        step.details = {k: v for k, v in step.details.items() if k != SCHEMA_CHANGES}
    elif isinstance(event, NodeProgress):
        step.rows, step.rows_total = event.rows, event.total
    elif isinstance(event, NodeCommitted):
        step.details = {
            **step.details,
            "committed": True,
            "committed_rows": event.rows,
            "cursor_moved": event.cursor_moved,
        }
    elif isinstance(event, SchemaChanged):
        changes = [one.model_dump(mode="json") for one in event.changes]
        step.details = {**step.details, SCHEMA_CHANGES: changes}
    elif isinstance(event, NodeFinished):
        _name_node(step, event)
        _finish(step, event)
        step.duration_seconds = event.duration_seconds
        step.relation = _text(event.relation, 400) if event.relation else None
        # A node that was stopped has none to tell; what it committed stays true.
        kept = {k: v for k, v in step.details.items() if k == SCHEMA_CHANGES}
        step.details = {**kept, **event.details} if event.details else step.details
        if event.breaches:
            breaches = [one.model_dump(mode="json") for one in event.breaches]
            step.details = {**step.details, BREACHES: breaches}
    elif isinstance(event, StepFinished):
        _finish(step, event)
        step.bytes = event.bytes
        if step.started_at is not None:
            step.duration_seconds = (event.at - step.started_at).total_seconds()


def _start(step: RunStep, event: StepStarted | NodeStarted) -> None:
    step.state = StepState.RUNNING.value
    step.started_at, step.finished_at = event.at, None
    step.rows = step.rows_total = step.duration_seconds = None
    _explain(step, None)


def _finish(step: RunStep, event: StepFinished | NodeFinished) -> None:
    step.state = event.state.value
    step.finished_at = event.at
    if event.rows is not None:
        step.rows = event.rows
    _explain(step, event.failure)


def _name_node(step: RunStep, event: NodeStarted | NodeFinished) -> None:
    step.name = _text(event.name, 400)
    step.kind = _text(event.resource_type, 32)
    if event.depends_on:
        step.depends_on = list(event.depends_on)


def _explain(step: RunStep, failure: Failure | None) -> None:
    step.error_code = _text(failure.code, 100) if failure else None
    step.error_message = _text(failure.message, MAX_MESSAGE) if failure else None
    step.error_hint = _text(failure.hint, MAX_MESSAGE) if failure and failure.hint else None


def _is_relation(event: NodeFinished) -> bool:
    return (
        event.relation is not None
        and event.state in _BUILT
        and event.resource_type in _RELATIONS
        and event.details.get("materialized") != "ephemeral"
    )


async def _store_logs(session: AsyncSession, run: Run, lines: Sequence[LogLine]) -> None:
    if not lines:
        return
    rows = [
        RunLog(
            org_id=run.org_id,
            run_id=run.id,
            step_key=_text(line.step_key, 63),
            node=_text(line.node, 400) if line.node else None,
            at=line.at,
            level=line.level.value,
            message=_text(line.message, MAX_MESSAGE),
        )
        for line in lines
    ]
    # One sender with one batch in flight: a batch sent again is exactly what was stored last.
    last = await session.execute(
        select(RunLog.at, RunLog.message)
        .where(RunLog.run_id == run.id)
        .order_by(RunLog.id.desc())
        .limit(len(rows))
    )
    if [(row.at, row.message) for row in rows] != [tuple(row) for row in last][::-1]:
        session.add_all(rows)


async def _loaded_rows(session: AsyncSession, run: Run) -> int | None:
    """Rows loaded so far: what a load step says in the end, until then what its tables say."""
    query = select(RunStep).where(RunStep.run_id == run.id)
    steps = list((await session.execute(query)).scalars())
    loads = {step.step_key for step in steps if not step.node and step.kind == StepKind.LOAD}
    total: int | None = None
    for key in loads:
        own = [step for step in steps if step.step_key == key]
        whole = next((step.rows for step in own if not step.node), None)
        parts = [step.rows for step in own if step.node and step.rows is not None]
        if whole is not None or parts:
            total = (total or 0) + (whole if whole is not None else sum(parts))
    return total


def _text(value: str, limit: int) -> str:
    return value[:limit]
