"""Whether a pipeline is busy: what the overlap policy of a run that nobody asked for looks at."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.models import Pipeline, Run
from datanika.services.run_rows import FINAL_STATES


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
            Run.state.not_in(FINAL_STATES),
            Run.deleted_at.is_(None),
        )
        .order_by(Run.id)
        .limit(1)
    )
    found: Run | None = await session.scalar(query)
    return found
