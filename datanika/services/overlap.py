"""Whether a pipeline is busy, and what its policy makes of a run that nobody asked for."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.enums import OverlapPolicy
from datanika.contracts.events import Failure
from datanika.models import Pipeline, Run
from datanika.services.run_rows import OPEN_STATES


async def unfinished_run(session: AsyncSession, pipeline: Pipeline) -> Run | None:
    """The oldest run of the pipeline that is not over, or None.

    Of two transactions that ask and then insert a run, the second sees the first's only if both
    lock the pipeline's row before.
    """
    query = (
        select(Run)
        .where(
            Run.org_id == pipeline.org_id,
            Run.pipeline_id == pipeline.id,
            Run.state.in_(OPEN_STATES),
            Run.deleted_at.is_(None),
        )
        .order_by(Run.id)
        .limit(1)
    )
    found: Run | None = await session.scalar(query)
    return found


async def overlap_failure(session: AsyncSession, pipeline: Pipeline) -> Failure | None:
    """Why a run that a schedule or a dependency starts is skipped; None: it is accepted."""
    if pipeline.overlap_policy != OverlapPolicy.SKIP.value:
        return None
    running = await unfinished_run(session, pipeline)
    if running is None:
        return None
    return Failure(
        code="overlap_skipped",
        message=f"Run {running.id} of this pipeline was not over yet.",
        hint="Let the pipeline's runs queue (overlap policy), start it less often, or make it "
        "faster.",
    )
