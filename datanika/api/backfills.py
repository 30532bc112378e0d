"""Backfills: an interval of the past that is loaded again, a chunk a run."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query, status

from datanika.api.deps import MAX_ID, PROBLEMS, Id
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import BackfillIn, BackfillOut, Page
from datanika.contracts.enums import BackfillState, RunState
from datanika.models import Backfill
from datanika.services.backfill_service import SORTS, BackfillService, Progress
from datanika.services.deployer import cancel_flow_run, submit_next
from datanika.services.paging import PageRequest

router = APIRouter(tags=["backfills"], responses=PROBLEMS, route_class=TenantRoute)
Paging = Annotated[PageRequest, paging(SORTS, "-id")]


@router.get("/backfills", **needs("run:read"))
async def list_backfills(
    tx: Tx,
    page: Paging,
    pipeline_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    state: BackfillState | None = None,
) -> Page[BackfillOut]:
    """The organisation's backfills, the newest first, and how far each has come."""
    service = BackfillService(tx.session, tx.actor)
    rows = await service.list(page, pipeline_id=pipeline_id, state=state)
    items = [_out(progress) for progress in await service.progress(rows.rows)]
    return Page(items=items, next_cursor=rows.next_cursor)


@router.post(
    "/pipelines/{pipeline_id}/backfills",
    status_code=status.HTTP_202_ACCEPTED,
    **needs("run:trigger"),
)
async def create_backfill(
    pipeline_id: Id, body: BackfillIn, tx: Tx, later: BackgroundTasks
) -> BackfillOut:
    """Load an interval again, one chunk after the other; the first that fails stops it."""
    row = await BackfillService(tx.session, tx.actor).create(
        pipeline_id,
        body.interval_start,
        body.interval_end,
        body.chunk_seconds,
        steps=body.steps,
        full=body.full,
    )
    later.add_task(submit_next, tx.actor.org_id)
    return await _answer(tx, row)


@router.get("/backfills/{backfill_id}", **needs("run:read"))
async def read_backfill(backfill_id: Id, tx: Tx) -> BackfillOut:
    """One backfill, and how far it has come."""
    return await _answer(tx, await BackfillService(tx.session, tx.actor).get(backfill_id))


@router.post("/backfills/{backfill_id}/cancel", **needs("run:cancel"))
async def cancel_backfill(backfill_id: Id, tx: Tx, later: BackgroundTasks) -> BackfillOut:
    """No further chunk; the one that runs is cancelled."""
    service = BackfillService(tx.session, tx.actor)
    [progress] = await service.progress([await service.cancel(backfill_id)])
    run = progress.run
    if run and run.flow_run_id is not None and run.state == RunState.CANCELLING.value:
        later.add_task(cancel_flow_run, run.flow_run_id)
    later.add_task(submit_next, tx.actor.org_id)
    return _out(progress)


@router.post(
    "/backfills/{backfill_id}/retry", status_code=status.HTTP_202_ACCEPTED, **needs("run:trigger")
)
async def retry_backfill(backfill_id: Id, tx: Tx, later: BackgroundTasks) -> BackfillOut:
    """Go on with the chunk that failed or was cancelled."""
    row = await BackfillService(tx.session, tx.actor).retry(backfill_id)
    later.add_task(submit_next, tx.actor.org_id)
    return await _answer(tx, row)


async def _answer(tx: Tx, row: Backfill) -> BackfillOut:
    [progress] = await BackfillService(tx.session, tx.actor).progress([row])
    return _out(progress)


def _out(progress: Progress) -> BackfillOut:
    row = progress.backfill
    return BackfillOut(
        id=row.id,
        pipeline_id=row.pipeline_id,
        state=BackfillState(row.state),
        interval_start=row.interval_start,
        interval_end=row.interval_end,
        chunk_seconds=row.chunk_seconds,
        created_by=row.created_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
        **progress.facts,
    )
