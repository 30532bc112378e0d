"""What a pipeline built last, for runs that select by state."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler.state import asks_for_state, resolve_states
from datanika.contracts.enums import RunState
from datanika.contracts.overrides import PARTIAL
from datanika.contracts.plan import Plan, PlanTransform
from datanika.models import Run

_LOOKED_AT = 20
"""Runs of parts of the pipeline may lie between."""


async def with_states(session: AsyncSession, org_id: int, pipeline_id: int, plan: Plan) -> Plan:
    """``plan`` with the names that ``state:modified`` and its like stand for: in comparison with
    the last run that succeeded and had the step."""
    waiting = set(asks_for_state(plan))
    if not waiting:
        return plan
    before: dict[str, PlanTransform] = {}
    plans = await session.scalars(
        select(Run.plan)
        .where(
            Run.org_id == org_id,
            Run.pipeline_id == pipeline_id,
            Run.state == RunState.SUCCEEDED.value,
            # A run of chosen steps built them as a whole; one of chosen models did not.
            *(Run.overrides[name].as_string().is_(None) for name in PARTIAL if name != "steps"),
        )
        .order_by(Run.id.desc())
        .limit(_LOOKED_AT)
    )
    for content in plans:
        for planned in Plan.model_validate(content).steps:
            if isinstance(planned, PlanTransform) and planned.step.key in waiting:
                before[planned.step.key] = planned
                waiting.discard(planned.step.key)
        if not waiting:
            break
    return resolve_states(plan, before)
